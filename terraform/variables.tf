# Variables that only Terraform has; those of the settings are in settings.tf.

variable "keep_images" {
  description = "Number of newest images to keep, however old."
  type        = number
  default     = 10
  validation {
    condition     = var.keep_images >= 1
    error_message = "keep_images: at least 1, because a queued run names its image by digest."
  }
}

variable "keep_images_days" {
  description = "Age in days after which images are deleted, except the newest and the workflow's."
  type        = number
  default     = 90
  validation {
    condition     = var.keep_images_days >= 17
    error_message = "keep_images_days: at least 17; a job may wait for 2 days and then run for 14."
  }
}

variable "subnet_range" {
  description = "Addresses of the machines; a /20 has room for the 4,000 machines that one Batch job may have at the same time."
  type        = string
  default     = "10.64.0.0/20"
  validation {
    condition     = can(cidrhost(var.subnet_range, 0))
    error_message = "subnet_range: a range such as 10.64.0.0/20."
  }
}

variable "alert_failed_percent" {
  description = "Percent of a job's tasks that may fail before an alert."
  type        = number
  default     = 10
  validation {
    condition     = var.alert_failed_percent >= 0 && var.alert_failed_percent < 100
    error_message = "alert_failed_percent: from 0 to less than 100."
  }
}

variable "alert_waiting_seconds" {
  description = "Seconds that tasks of a job may wait for machines before an alert. They wait while fewer than half of the tasks that may run at the same time are running."
  type        = number
  default     = 1800
  validation {
    condition     = var.alert_waiting_seconds >= 60 && var.alert_waiting_seconds < 2 * 24 * 3600
    error_message = "alert_waiting_seconds: from 60 to less than 172800; Batch gives up after two days."
  }
}
