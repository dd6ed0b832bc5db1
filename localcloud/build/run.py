"""One build, from its source to its images: status, times, log lines, results.

The status goes QUEUED, WORKING, then SUCCESS, FAILURE, TIMEOUT, CANCELLED or INTERNAL_ERROR.
"""

import re
import shutil
import sys
import tarfile
import threading
import traceback
import zlib
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import ProxyHandler, build_opener

from localcloud.build.steps import StepFailed, StepRunner, Stopped
from localcloud.messages import ApiError
from localcloud.registry import repository_of
from localcloud.rights.actors import Actor
from localcloud.times import now, seconds_of

FINISHED = ("SUCCESS", "FAILURE", "TIMEOUT", "CANCELLED", "INTERNAL_ERROR", "EXPIRED")
# A broken answer or archive.
_BROKEN = (OSError, HTTPException, tarfile.TarError, EOFError, zlib.error)

_ARTIFACT_REGISTRY = "-docker.pkg.dev/"
_PUSHED = re.compile(r"digest: (sha256:[0-9a-f]{64})")  # docker's last line


class BuildRun:
    """A build that runs or has run; `build` is its resource, `template` what is run, `actor` its account.

    Without roles/logging.logWriter of its account it runs, and its log is lost. That it needs the role is
    documented, what happens without it is not; users see a warning in the build, as here.
    https://cloud.google.com/build/docs/securing-builds/configure-user-specified-service-accounts
    """

    def __init__(
        self,
        build: dict[str, Any],
        template: dict[str, Any],
        folder: Path,
        builders: Mapping[str, Sequence[str]],
        actor: Actor,
        write_log: Callable[[str, str], None],
    ):
        self.build, self.template, self.folder = build, template, folder
        self._actor, self._write_log = actor, write_log
        self._may_log = True
        self._step = ""
        self.steps = StepRunner(folder / "workspace", builders, self._write_line)
        self.has_ended = threading.Event()  # set once all its processes and files are gone
        self._ended_as = ""  # why it was stopped: TIMEOUT or CANCELLED

    def run(self, read_secret: Callable[[str], bytes], put_image: Callable[[str, str], None]) -> None:
        """Run the build to its end without raising; `put_image` is called for each image that stays here."""
        self.build |= {"status": "WORKING", "startTime": now()}
        timer = threading.Timer(seconds_of(self.build["timeout"]), self.stop, ["TIMEOUT"])
        timer.daemon = True
        timer.start()
        try:
            self._begin_log()
            self._fetch_source(self._actor.door["storage"])
            secrets = self._secrets(read_secret)
            for number, step in enumerate(self.template["steps"]):
                self._run_step(number, step, secrets)
            self._push_images(put_image)
            self._end("SUCCESS")
        except Stopped:
            self._end(self._ended_as)
        except StepFailed as failure:
            self._write_line(f"ERROR: {failure}")
            self._end("FAILURE", str(failure))
        except Exception as error:
            traceback.print_exception(error, file=sys.stderr)
            self._end("INTERNAL_ERROR", f"fault of the emulator: {error}")
        finally:
            timer.cancel()
            shutil.rmtree(self.folder, ignore_errors=True)
            self.has_ended.set()

    def stop(self, status: str) -> None:
        """End the build early."""
        self._ended_as = self._ended_as or status
        self.steps.stop()

    def _end(self, status: str, detail: str = "") -> None:
        self._step = ""
        self._write_line("DONE" if status == "SUCCESS" else f"ERROR: build ended as {status}")
        if detail:
            self.build["statusDetail"] = detail
            self.build["failureInfo"] = {"type": "USER_BUILD_STEP", "detail": detail}
        self.build |= {"finishTime": now(), "status": status}

    def _begin_log(self) -> None:
        """Find out whether the build has a log; say so in the build if it has none."""
        if self.template.get("options", {}).get("logging") == "NONE":
            return
        self._may_log = self._actor.may_log(self.build["projectId"])
        if not self._may_log:
            said = f"The service account running this build, {self._actor.email}, may not write logs"
            text = f"{said}: grant it roles/logging.logWriter on project {self.build['projectId']}."
            self.build["warnings"] = [{"text": text, "priority": "ALERT"}]

    def _write_line(self, line: str) -> None:
        if not self._may_log:
            return
        self._write_log(f"{self._step}: {line}" if self._step else line, self._step.partition(" - ")[0])

    def _fetch_source(self, storage: str) -> None:
        workspace = self.steps.workspace
        for folder in (self.folder / "home", workspace):
            folder.mkdir(parents=True)
        source = self.build.get("source", {}).get("storageSource")
        if not source:
            return
        name = f"gs://{source['bucket']}/{source['object']}#{source.get('generation', '')}"
        self._write_line(f"FETCHSOURCE {name}")
        object_name = quote(source["object"], safe="")
        generation = f"&generation={source['generation']}" if source.get("generation") else ""
        address = f"{storage}/download/storage/v1/b/{source['bucket']}/o/{object_name}?alt=media{generation}"
        archive = self.folder / "source"
        direct = build_opener(ProxyHandler({}))  # the user's proxy cannot reach 127.0.0.1 of this machine
        try:
            with direct.open(address, timeout=60) as answer, open(archive, "wb") as file:
                shutil.copyfileobj(answer, file)
            with tarfile.open(archive) as tar:
                safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
                tar.extractall(workspace, **safely)
        except HTTPError as error:  # with what the storage says, as the service does
            said = error.read().decode(errors="replace")
            raise StepFailed(f"could not fetch the source {name}: {error}: {said}") from error
        except _BROKEN as error:
            raise StepFailed(f"could not fetch the source {name}: {error}") from error

    def _secrets(self, read_secret: Callable[[str], bytes]) -> dict[str, str]:
        found = {}
        for secret in self.template.get("availableSecrets", {}).get("secretManager", []):
            try:
                self._actor.ask("secretmanager.versions.access", secret["versionName"])
                found[secret["env"]] = read_secret(secret["versionName"]).decode(errors="surrogateescape")
            except ApiError as error:
                raise StepFailed(
                    f"failed to access secret version {secret['versionName']}: {error.message}"
                ) from error
        return found

    def _run_step(self, number: int, step: dict[str, Any], secrets: Mapping[str, str]) -> None:
        self._step = f"Step #{number}" + (f' - "{step["id"]}"' if step.get("id") else "")
        shown = self.build["steps"][number]
        shown |= {"status": "WORKING", "timing": {"startTime": now()}}
        self._write_line(f"Image of this step: {step['name']}")
        try:
            self.steps.run_step(step, secrets)
        except StepFailed as failure:
            shown["status"] = "FAILURE"
            if not step.get("allowFailure"):
                raise StepFailed(f'build step {number} "{step["name"]}" failed: {failure}') from failure
        except Stopped:
            shown["status"] = "CANCELLED"
            raise
        else:
            shown["status"] = "SUCCESS"
        finally:
            shown["timing"]["endTime"] = now()

    def _push_images(self, put_image: Callable[[str, str], None]) -> None:
        self._step = ""
        pushed = []
        for image in self.template.get("images", []):
            begun = now()
            if _is_on_this_machine(image):
                self._write_line(f"PUSH {image}")
                said = "\n".join(self.steps.run(["docker", "push", image], {}, self.steps.workspace))
                digest = _PUSHED.search(said)[1]
            else:
                self._write_line(f"PUSH {image}: not pushed, it stays in this machine's engine")
                digest = self.steps.read(["docker", "image", "inspect", "--format", "{{.Id}}", image])
                if _ARTIFACT_REGISTRY in image:
                    self._push(image, digest.strip(), put_image)
            timing = {"startTime": begun, "endTime": now()}
            pushed.append({"name": image, "digest": digest, "pushTiming": timing})
        if pushed:
            self.build["results"] = {"images": pushed}

    def _push(self, image: str, digest: str, put_image: Callable[[str, str], None]) -> None:
        try:
            if repository := repository_of(image):
                self._actor.ask("artifactregistry.repositories.uploadArtifacts", repository)
            put_image(image, digest)
        except ApiError as error:
            raise StepFailed(f'failed to push "{image}": {error.message}') from error


def _is_on_this_machine(image: str) -> bool:
    """Return whether an image's registry is on this machine; nothing is ever pushed to another."""
    return image.partition("/")[0].partition(":")[0] in ("127.0.0.1", "localhost")
