"""A secret from Secret Manager; read only here, and neither logged nor stored."""

import os

from modeling.failures import TemporaryFault, UserError
from modeling.refusals import MAY_NOT_COUNT_YET

EMULATOR = "SECRET_MANAGER_EMULATOR_HOST"
REQUEST_SECONDS = 60


def read_secret(secret: str, project: str) -> str:
    """Return the newest version of a secret, or the version that its name includes.

    Parameters
    ----------
    secret : str
        A name, or projects/P/secrets/NAME, with or without /versions/N.
    project : str
        Project of a secret given by its name alone; "" for the project of the credentials.

    Raises
    ------
    UserError
        The secret is missing, disabled, not a token, or access is denied.
    TemporaryFault
        Secret Manager does not answer.
    """
    import google_crc32c
    from google.api_core import exceptions as api
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
    from requests.exceptions import RequestException

    shown = f"secret {secret.split('/versions/')[0].rpartition('/')[2]}"
    try:
        client, project = _client(project)
        name = secret if secret.startswith("projects/") else f"projects/{project}/secrets/{secret}"
        name = name if "/versions/" in name else f"{name}/versions/latest"
        answer = client.access_secret_version(name=name, timeout=REQUEST_SECONDS)
    except (DefaultCredentialsError, OSError) as error:
        if isinstance(error, RequestException):
            raise TemporaryFault(f"{shown}: Secret Manager does not answer ({error}); try again") from None
        raise UserError(f"{shown}: no Google Cloud credentials ({' '.join(str(error).split())})") from None
    except api.NotFound:
        raise UserError(
            f"{shown}: {name.split('/versions/')[0]} does not exist, or has no version; check "
            "GITHUB_PAT_SECRET, or: gcloud secrets create (or: versions add) "
            f"{shown.split()[1]} --data-file=FILE"
        ) from None
    except (api.Forbidden, api.Unauthorized) as error:
        raise UserError(
            f"{shown}: access denied ({error.message}); the account needs "
            f"roles/secretmanager.secretAccessor on it; {MAY_NOT_COUNT_YET}"
        ) from None
    except GoogleAuthError as error:
        if not error.retryable:
            raise UserError(f"{shown}: no valid Google Cloud credentials ({error})") from None
        raise TemporaryFault(f"{shown}: Secret Manager does not answer ({error}); try again") from None
    except (api.TooManyRequests, api.ServerError, api.RetryError) as error:
        raise TemporaryFault(f"{shown}: Secret Manager does not answer ({error}); try again") from None
    except api.GoogleAPICallError as error:
        raise UserError(f"{shown}: Secret Manager refused the request ({error.message})") from None
    data = answer.payload.data
    if google_crc32c.value(data) != answer.payload.data_crc32c:
        raise TemporaryFault(f"{shown}: damaged in transit (its checksum differs); try again")
    token = data.decode(errors="replace").strip()
    if not token or any(character.isspace() for character in token):
        raise UserError(f"{shown}: contains no token (it is empty, or has spaces in it); add a new version")
    return token


def _client(project: str):
    """Return the client and the project; over REST, so that a local emulator can be used."""
    import google.auth
    from google.cloud import secretmanager
    from google.oauth2.credentials import Credentials

    if emulator := os.environ.get(EMULATOR):
        credentials, own = Credentials("localcloud"), os.environ.get("GOOGLE_CLOUD_PROJECT", "")
        options = {"api_endpoint": emulator}
    else:
        scopes = ["https://www.googleapis.com/auth/cloud-platform"]
        credentials, own = google.auth.default(scopes=scopes)
        options = {}
    client = secretmanager.SecretManagerServiceClient(
        transport="rest", credentials=credentials, client_options=options
    )
    return client, project or own or ""
