# As cheap as it gets with a GPU: one instance, the smallest that Cloud Run gives an L4 (4 CPUs and 16Gi), and none
# while nobody uploads. Files are deleted early.
#   terraform -chdir=terraform/gpu plan -var-file=../../examples/gpu/cost-optimized.tfvars
service_prefix         = "ml-pipeline"
gpu_type               = "nvidia-l4"
gpu_cpu                = 4
gpu_memory             = "16Gi"
gpu_max_instances      = 1
max_instances          = 1
min_instances          = 0
timeout_seconds        = 120
input_retention_days   = 7
work_retention_days    = 1
results_nearline_days  = 0
results_retention_days = 90
