# `invoke tf-plan` and its kin set each from the settings of .env; the defaults are those of .env.example, and a
# test holds both to it. keep_images, keep_images_days, subnet_range, alert_failed_percent and alert_waiting_seconds are
# Terraform's alone.

variable "project_id" {
  description = "The Google Cloud project's id."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id: a project's id is needed, such as my-lab-forecasts; not its name or number."
  }
}

variable "region" {
  description = "Where images, machines and the workflow are."
  type        = string
  default     = "us-central1"
  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]{1,2}$", var.region))
    error_message = "region: a region such as us-central1 is needed, not a zone."
  }
}

variable "environment" {
  description = "Value of the label environment."
  type        = string
  default     = "production"
  validation {
    condition     = can(regex("^[a-z0-9_-]{1,63}$", var.environment))
    error_message = "environment: lower-case letters, digits, _ - and at most 63 of them are needed."
  }
}

# The bucket: it must be there, with uniform bucket-level access.

variable "bucket_name" {
  description = "The bucket of runs, and of what is uploaded for builds. It is read, never created or destroyed."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$", var.bucket_name))
    error_message = "bucket_name: the name of a bucket is needed, without gs:// and without a path."
  }
}

variable "dir_prefix" {
  description = "Path in the bucket before the experiments, ending with /; empty for the whole bucket."
  type        = string
  default     = ""
  validation {
    condition     = can(regex("^([^/]+/)*$", var.dir_prefix))
    error_message = "dir_prefix: a path inside the bucket that ends with / is needed, such as flu/2026/."
  }
}

variable "state_bucket" {
  description = "Bucket of Terraform's state, out of which the stages are kept; empty: bucket_name."
  type        = string
  default     = ""
}

variable "state_prefix" {
  description = "Path of Terraform's state in its bucket."
  type        = string
  default     = "terraform/epymodelingsuite-cloud/"
  validation {
    condition     = length(var.state_prefix) > 0
    error_message = "state_prefix: a path is needed; the state may not lie among the runs."
  }
}

# The image.

variable "repo_name" {
  description = "The Artifact Registry repository."
  type        = string
  default     = "epymodelingsuite-repo"
}

variable "image_name" {
  description = "The image in it."
  type        = string
  default     = "epymodelingsuite"
}

variable "image_tag" {
  description = "Tag of the image that runs when a run names no other; it is never cleaned up."
  type        = string
  default     = "latest"
}

variable "registry_host" {
  description = "Another registry's host; empty: REGION-docker.pkg.dev."
  type        = string
  default     = ""
}

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

# Who: an account's id makes an account of the project, a whole e-mail takes one that is there.

variable "batch_service_account" {
  description = "As whom stages B and C run."
  type        = string
  default     = "epymodelingsuite-batch"
  validation {
    condition     = can(regex("^([a-z][a-z0-9-]{4,28}[a-z0-9]|[a-z0-9-]+@[a-z0-9.-]+)$", var.batch_service_account))
    error_message = "batch_service_account: an id of 6 to 30 lower-case letters, digits and -, or a whole e-mail."
  }
}

variable "builder_service_account" {
  description = "As whom stage A runs, which alone of the stages may read the token."
  type        = string
  default     = "epymodelingsuite-builder"
  validation {
    condition     = can(regex("^([a-z][a-z0-9-]{4,28}[a-z0-9]|[a-z0-9-]+@[a-z0-9.-]+)$", var.builder_service_account))
    error_message = "builder_service_account: an id of 6 to 30 lower-case letters, digits and -, or a whole e-mail."
  }
}

variable "workflow_service_account" {
  description = "As whom the workflow runs."
  type        = string
  default     = "epymodelingsuite-workflow"
  validation {
    condition     = can(regex("^([a-z][a-z0-9-]{4,28}[a-z0-9]|[a-z0-9-]+@[a-z0-9.-]+)$", var.workflow_service_account))
    error_message = "workflow_service_account: an id of 6 to 30 lower-case letters, digits and -, or a whole e-mail."
  }
}

variable "build_service_account" {
  description = "As whom Cloud Build builds."
  type        = string
  default     = "epymodelingsuite-build"
  validation {
    condition     = can(regex("^([a-z][a-z0-9-]{4,28}[a-z0-9]|[a-z0-9-]+@[a-z0-9.-]+)$", var.build_service_account))
    error_message = "build_service_account: an id of 6 to 30 lower-case letters, digits and -, or a whole e-mail."
  }
}

# The network.

variable "network_name" {
  description = "The network of the machines, and its subnet in the region."
  type        = string
  default     = "epymodelingsuite"
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

# GitHub.

variable "github_url" {
  description = "GitHub, or a GitHub Enterprise server."
  type        = string
  default     = "https://github.com"
}

variable "github_pat_secret" {
  description = "The secret in Secret Manager with a token for private repositories; empty: nobody is given any."
  type        = string
  default     = ""
  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{0,255}$", var.github_pat_secret)) && !can(regex("^(gh[a-z]_|github_pat_)", var.github_pat_secret))
    error_message = "github_pat_secret: the name of a secret is needed, such as github-pat; never the token itself."
  }
}

variable "github_forecast_repo" {
  description = "owner/name of the forecasting repository; empty: each run brings its own."
  type        = string
  default     = ""
}

variable "forecast_repo_ref" {
  description = "Its branch, tag or commit."
  type        = string
  default     = "main"
}

# The run.

variable "workflow_name" {
  description = "The workflow in Cloud Workflows that runs the stages."
  type        = string
  default     = "epydemix-pipeline"
}

variable "stages" {
  description = "Limits of one task, by stage: millicores, MiB, seconds; a machine type of \"\" lets Batch choose."
  type = object({
    builder = optional(object({
      cpu_milli       = optional(number, 2000)
      memory_mib      = optional(number, 7168)
      machine_type    = optional(string, "c4d-standard-2")
      max_run_seconds = optional(number, 3600)
    }), {})
    runner = optional(object({
      cpu_milli       = optional(number, 2000)
      memory_mib      = optional(number, 4096)
      machine_type    = optional(string, "")
      max_run_seconds = optional(number, 36000)
    }), {})
    output = optional(object({
      cpu_milli       = optional(number, 4000)
      memory_mib      = optional(number, 15360)
      machine_type    = optional(string, "c4d-standard-4")
      max_run_seconds = optional(number, 7200)
    }), {})
  })
  default  = {}
  nullable = false
  validation {
    condition     = alltrue([for stage in values(var.stages) : stage.cpu_milli >= 250])
    error_message = "stages: each needs cpu_milli of at least 250."
  }
  validation {
    condition     = alltrue([for stage in values(var.stages) : stage.memory_mib >= 512])
    error_message = "stages: each needs memory_mib of at least 512."
  }
  validation {
    condition = alltrue([
      for stage in values(var.stages) : stage.max_run_seconds >= 60 && stage.max_run_seconds <= 14 * 24 * 3600
    ])
    error_message = "stages: max_run_seconds is 60 to 1209600; Batch stops what runs for more than 14 days."
  }
}

variable "task_count_per_node" {
  description = "Tasks of stage B on one machine at once."
  type        = number
  default     = 1
  validation {
    condition     = var.task_count_per_node >= 1 && var.task_count_per_node <= 5000
    error_message = "task_count_per_node: a whole number from 1 to 5000."
  }
}

variable "workloads_per_task" {
  description = "Inputs that one task of stage B works on, one after the other."
  type        = number
  default     = 1
  validation {
    condition     = var.workloads_per_task >= 1
    error_message = "workloads_per_task: a whole number from 1."
  }
}

variable "max_parallelism" {
  description = "Tasks of stage B at once."
  type        = number
  default     = 100
  validation {
    condition     = var.max_parallelism >= 1 && var.max_parallelism <= 5000
    error_message = "max_parallelism: a whole number from 1 to 5000, which is what one Batch job may run at once."
  }
}

variable "max_retry_count" {
  description = "Tries after a passing fault."
  type        = number
  default     = 3
  validation {
    condition     = var.max_retry_count >= 0 && var.max_retry_count <= 10
    error_message = "max_retry_count: a whole number from 0 to 10."
  }
}

variable "provisioning_model" {
  description = "Machines of stage B: STANDARD, or SPOT for cheaper ones that may be taken away."
  type        = string
  default     = "STANDARD"
  validation {
    condition     = contains(["STANDARD", "SPOT"], var.provisioning_model)
    error_message = "provisioning_model: use STANDARD or SPOT."
  }
}

variable "modeling_suite" {
  description = "built-in, or an installed epymodelingsuite."
  type        = string
  default     = "built-in"
}

variable "run_output_stage" {
  description = "Run stage C after stage B."
  type        = bool
  default     = true
}

variable "allow_partial_results" {
  description = "Write outputs although results are missing."
  type        = bool
  default     = false
}

variable "log_level" {
  description = "Logs of the stages: DEBUG, INFO, WARNING or ERROR."
  type        = string
  default     = "INFO"
}

variable "storage_verbose" {
  description = "Log every file that is written."
  type        = bool
  default     = false
}

# Whom it is for, and what it may cost.

variable "billing_project" {
  description = "Whom a run is for; it becomes the label billing_project of what costs money."
  type        = string
  default     = ""
}

variable "billing_account" {
  description = "The billing account, for a budget; it bills in US dollars."
  type        = string
  default     = ""
}

variable "monthly_budget_usd" {
  description = "Whole US dollars a month to warn at; 0 sets no budget."
  type        = number
  default     = 0
  validation {
    condition     = var.monthly_budget_usd >= 0 && var.monthly_budget_usd <= 1000000000 && floor(var.monthly_budget_usd) == var.monthly_budget_usd
    error_message = "monthly_budget_usd: whole US dollars, at most 1000000000; 0 for no budget."
  }
}

# Who is told of what.

variable "alert_email" {
  description = "Who is told of failed runs, of failed or waiting tasks, and of the budget; empty: nobody gets mail."
  type        = string
  default     = ""
  validation {
    condition     = can(regex("^([^@\\s]+@[^@\\s]+)?$", var.alert_email))
    error_message = "alert_email: an e-mail address is needed, such as forecasts@example.org."
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

variable "install_ops_agent" {
  description = "Install the Ops Agent on the machines, which measures memory; it takes a minute of each and is charged by what it measures."
  type        = bool
  default     = false
}
