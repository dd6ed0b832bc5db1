terraform {
  required_version = ">= 1.5.7" # the newest that Infrastructure Manager has; nothing here needs a later one

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.47, < 8.0" # the first with GPUs without zonal redundancy
    }
    google-beta = { # for one resource: Eventarc's own account
      source  = "hashicorp/google-beta"
      version = ">= 6.47, < 8.0"
    }
    time = {
      source  = "hashicorp/time"
      version = ">= 0.9, < 1.0"
    }
  }
}
