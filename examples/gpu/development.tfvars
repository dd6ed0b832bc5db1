# To try things: beside another deployment of the same project, and removed with all that is in it. 120 seconds, since
# a request waits for the start of an instance and for its first compiled code.
#   terraform -chdir=terraform/gpu plan -var-file=../../examples/gpu/development.tfvars
service_prefix    = "dev-ml-pipeline"
environment       = "development"
gpu_type          = "nvidia-l4"
gpu_cpu           = 4
gpu_memory        = "16Gi"
gpu_max_instances = 1
max_instances     = 2
timeout_seconds   = 120
delete_data       = true
