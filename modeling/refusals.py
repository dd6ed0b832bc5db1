"""What the stages and the operator's commands say when Google Cloud refuses them something."""

# A refusal does not show whether a role is missing or was just given. Google documents that a new role counts
# after two minutes, potentially seven or more: https://cloud.google.com/iam/docs/access-change-propagation.
# The workflows in terraform/ say the same.
MAY_NOT_COUNT_YET = "a role given less than ten minutes ago may not count yet; if so, wait and repeat this"
