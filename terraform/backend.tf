# Where the state is: `invoke tf-init` passes bucket and prefix from the settings.
# This is a file of its own because Infrastructure Manager keeps the state itself and accepts no backend.
terraform {
  backend "gcs" {}
}
