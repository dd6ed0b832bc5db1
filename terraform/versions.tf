terraform {
  required_version = ">= 1.5.7" # the newest of Infrastructure Manager; nothing here needs a later one, tests/ does

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.0, < 8.0"
    }
  }
}
