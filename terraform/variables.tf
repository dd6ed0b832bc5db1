# Variables that only Terraform has; those of the settings are in settings.tf.

variable "keep_images" {
  description = "So many of the newest images are kept, however old."
  type        = number
  default     = 10
  validation {
    condition     = var.keep_images >= 1
    error_message = "keep_images: 1 at least, for a run that waits in a queue names its image by digest."
  }
}

variable "keep_images_days" {
  description = "Older images than this many days are deleted, but for the newest and the workflow's."
  type        = number
  default     = 90
  validation {
    condition     = var.keep_images_days >= 17
    error_message = "keep_images_days: 17 at least; a job may wait for 2 days and then run for 14."
  }
}

variable "subnet_range" {
  description = "Addresses of the machines; a /20 has room for the 4,000 that one Batch job may have at once."
  type        = string
  default     = "10.64.0.0/20"
  validation {
    condition     = can(cidrhost(var.subnet_range, 0))
    error_message = "subnet_range: a range such as 10.64.0.0/20 is needed."
  }
}

variable "alert_failed_percent" {
  description = "Percent of a job's tasks that may fail before somebody is told."
  type        = number
  default     = 10
  validation {
    condition     = var.alert_failed_percent >= 0 && var.alert_failed_percent < 100
    error_message = "alert_failed_percent: from 0 to less than 100."
  }
}

variable "alert_waiting_seconds" {
  description = "Seconds that tasks of a job may wait for machines, fewer than half of those running that may, before somebody is told."
  type        = number
  default     = 1800
  validation {
    condition     = var.alert_waiting_seconds >= 60 && var.alert_waiting_seconds < 2 * 24 * 3600
    error_message = "alert_waiting_seconds: from 60 to less than 172800; Batch gives up after two days."
  }
}
