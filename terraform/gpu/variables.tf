# Variables that only Terraform has; those of the settings are in settings.tf.

variable "find_digests" {
  description = "Run each image by the digest that its tag has now, so that a new build is a change; false where the images are gone, for a destroy."
  type        = bool
  default     = true
}
