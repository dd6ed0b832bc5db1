# Where the state is: bucket and prefix come from the settings, through `invoke tf-init`.
# A file of its own, for Infrastructure Manager keeps the state itself and takes no backend.
terraform {
  backend "gcs" {}
}
