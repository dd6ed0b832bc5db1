"""Automatic grants: of a project's owner, of Google's service agents, and of a new bucket.

They are in no policy of the emulated cloud, whose policies begin empty. On the service they are in the
policies and can be removed there; here they cannot.
"""

from collections.abc import Iterator

from localcloud.members import OWNER
from localcloud.rights.grants import Grant
from localcloud.rights.resources import BUCKET, PROJECT_NUMBER, holders
from localcloud.rights.roles import EDITOR_ROLE, OWNER_ROLE

# The role that each service gives to its agent when it makes it: https://cloud.google.com/iam/docs/service-agents.
# Here they have it from the start, as an agent acts only when its API is used.
_AGENTS = {
    f"service-{PROJECT_NUMBER}@gcp-sa-artifactregistry.iam": "artifactregistry.serviceAgent",
    f"service-{PROJECT_NUMBER}@gcp-sa-cloudbatch.iam": "batch.serviceAgent",
    f"service-{PROJECT_NUMBER}@gcp-sa-cloudbuild.iam": "cloudbuild.serviceAgent",
    f"service-{PROJECT_NUMBER}@gcp-sa-config.iam": "cloudconfig.serviceAgent",
    f"service-{PROJECT_NUMBER}@gcp-sa-pubsub.iam": "pubsub.serviceAgent",
    f"service-{PROJECT_NUMBER}@gcp-sa-workflows.iam": "workflows.serviceAgent",
    f"service-{PROJECT_NUMBER}@serverless-robot-prod.iam": "run.serviceAgent",
    # Google's own processes, which make machines for Batch: an editor of the project from the start.
    # https://cloud.google.com/iam/docs/service-account-types
    f"{PROJECT_NUMBER}@cloudservices": EDITOR_ROLE.removeprefix("roles/"),
}
# Left out, because the documentation is unclear or says otherwise; whoever needs one of them grants it:
# * Eventarc's agent, service-...@gcp-sa-eventarc. By the list it gets roles/eventarc.serviceAgent, but it is
#   made with the first trigger, which may fail until the agent has the role, and one may have to grant it:
#   https://cloud.google.com/eventarc/docs/troubleshooting. terraform/gpu/ grants it, which does no harm.
# * Cloud Storage's agent, service-...@gs-project-accounts. It has no role; one that sends events needs
#   roles/pubsub.publisher: https://cloud.google.com/storage/docs/projects.
# * The default accounts of Compute Engine, ...-compute@developer, and of old Cloud Builds, ...@cloudbuild.
#   What they may do depends on the age and the policies of the organization, and the product uses accounts
#   of its own: https://cloud.google.com/iam/docs/service-account-types.

# Who may use a new bucket, by the basic role in its project. Without the second of each pair, not even an
# owner could read an object: in a bucket with uniform access it is in the policy, in others in the objects'
# ACLs. https://cloud.google.com/storage/docs/access-control/iam-roles#basic-roles-modifiable
_OF_A_BUCKET = {
    "projectOwner": ("legacyBucketOwner", "legacyObjectOwner"),
    "projectEditor": ("legacyBucketOwner", "legacyObjectOwner"),
    "projectViewer": ("legacyBucketReader", "legacyObjectReader"),
}


def automatic_grants(resource: str, project: str) -> Iterator[Grant]:
    """Yield the grants that count for a resource and are in no policy."""
    of_project = f"projects/{project}"
    for holder in holders(resource, project):
        if holder == of_project:
            yield Grant(holder, OWNER_ROLE, OWNER)
            for account, role in _AGENTS.items():
                yield Grant(holder, f"roles/{role}", f"serviceAccount:{account}.gserviceaccount.com")
        elif holder.startswith(BUCKET):
            for team, roles in _OF_A_BUCKET.items():
                for role in roles:
                    yield Grant(holder, f"roles/storage.{role}", f"{team}:{project}")
