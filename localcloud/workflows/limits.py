"""The service's limits. https://cloud.google.com/workflows/quotas"""

KIB = 1024

SOURCE_BYTES = 128 * KIB
EXPRESSION_CHARACTERS = 400
ASSIGNMENTS = 50  # of a step
CONDITIONS = 50  # of a step
BRANCHES = 10  # of a step

CALL_DEPTH = 20
STEPS = 100_000  # of an execution; each retry and each poll of a connector counts as a step
MEMORY_BYTES = 512 * KIB  # variables, arguments and events together
STRING_BYTES = 256 * KIB
RESPONSE_BYTES = 2 * KIB * KIB
ARGUMENT_BYTES = 32 * KIB

CONCURRENT_BRANCHES = 20  # of an execution; others wait
PARALLEL_NESTING = 2
BRANCH_ERRORS = 100  # after which a parallel step gives up

HTTP_TIMEOUT_SECONDS = 1800
CONNECTOR_TIMEOUT_SECONDS = 1800  # unless connector_params say otherwise
CONNECTOR_MAX_TIMEOUT_SECONDS = 365 * 86_400
CALLBACK_TIMEOUT_SECONDS = 43_200
WAITING_CALLBACKS = 100  # calls of an endpoint that no step has taken yet

USER_VARIABLES = 20
USER_VARIABLE_BYTES = 4 * KIB
LABELS = 64
DESCRIPTION_CHARACTERS = 1000
BACKLOG = 100_000  # queued executions
