# Where the state is: `invoke gpu-plan` and `invoke gpu-apply` pass bucket and prefix, one for each deployment.
# This is a file of its own because Infrastructure Manager keeps the state itself and accepts no backend.
terraform {
  backend "gcs" {}
}
