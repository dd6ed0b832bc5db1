# Many uploads at once: the largest instance with an L4, and 50 of them. The quota of a new project is 3; ask for more
# before (docs/runbooks/gpu-quota.md), and set gpu_quota to what is granted.
#   terraform -chdir=terraform/gpu plan -var-file=../../examples/gpu/high-performance.tfvars
service_prefix    = "ml-pipeline"
gpu_type          = "nvidia-l4"
gpu_cpu           = 8
gpu_memory        = "32Gi"
gpu_max_instances = 50
gpu_quota         = 50
max_instances     = 50
preprocess_memory = "4Gi"
timeout_seconds   = 900
