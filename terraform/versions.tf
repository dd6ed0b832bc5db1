terraform {
  required_version = ">= 1.5.7" # the newest that Infrastructure Manager has; only tests/ needs a later one

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.0, < 8.0"
    }
  }
}
