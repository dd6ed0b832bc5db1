"""An emulated Infrastructure Manager: it checks a Terraform configuration, and creates nothing from it."""
