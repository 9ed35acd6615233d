"""An S3-compatible store on loopback, for tests: objects, parts, lists, conditions, and signatures that are checked."""

import hashlib
import hmac
from collections.abc import Callable
from xml.sax.saxutils import escape

from tunesmith_trainer.testing_sources import Answer, Request, Served


class ServedStore(Served):
    """An S3-compatible store, path style, that checks every signature (version 4)."""

    def __init__(self, key_id: str, secret: str, buckets: tuple[str, ...] = ("bucket",)) -> None:
        super().__init__()
        self._key_id, self._secret = key_id, secret
        self.objects: dict[str, bytes] = {}
        self.etags: dict[str, str] = {}
        self._buckets = buckets
        self._uploads: dict[str, dict[int, bytes]] = {}

    def answer(self, request: Request) -> Answer:
        """One request, when it is signed as it must be."""
        if not self._is_signed(request):
            return _fault(403, "SignatureDoesNotMatch")
        bucket, _, key = request.place.lstrip("/").partition("/")
        if bucket not in self._buckets:
            return _fault(404, "NoSuchBucket")
        acts: dict[str, Callable[[Request, str, str], Answer]] = {
            "GET": self._get, "HEAD": self._get, "PUT": self._put, "POST": self._post, "DELETE": self._delete,
        }  # fmt: skip
        return acts[request.method](request, bucket, key)

    def put(self, place: str, content: bytes) -> None:
        """Places an object, as if somebody had uploaded it; `place` is `<bucket>/<key>`."""
        self.objects[place] = content
        self.etags[place] = f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'

    def _get(self, request: Request, bucket: str, key: str) -> Answer:
        if not key:
            return self._listed(bucket, request.query.get("prefix", ""))
        place = f"{bucket}/{key}"
        if place not in self.objects:
            return _fault(404, "NoSuchKey")
        if request.headers.get("if-match", self.etags[place]) != self.etags[place]:
            return _fault(412, "PreconditionFailed")
        modified = {"Last-Modified": "Mon, 05 Jan 2026 00:00:00 GMT"}
        return Answer(200, self.objects[place], {"ETag": self.etags[place], **modified})

    def _listed(self, bucket: str, prefix: str) -> Answer:
        entries = "".join(
            f"<Contents><Key>{escape(place.partition('/')[2])}</Key><LastModified>2026-01-05T00:00:00.000Z"
            f"</LastModified><ETag>{escape(self.etags[place])}</ETag><Size>{len(body)}</Size></Contents>"
            for place, body in sorted(self.objects.items())
            if place.startswith(f"{bucket}/{prefix}")
        )
        return Answer(200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>".encode())

    def _put(self, request: Request, bucket: str, key: str) -> Answer:
        place = f"{bucket}/{key}"
        if "uploadId" in request.query:
            self._uploads[request.query["uploadId"]][int(request.query["partNumber"])] = request.body
            return Answer(200, b"", {"ETag": f'"part-{request.query["partNumber"]}"'})
        self.put(place, request.body)
        return Answer(200, b"", {"ETag": self.etags[place]})

    def _post(self, request: Request, bucket: str, key: str) -> Answer:
        if "uploads" in request.query:
            upload = f"upload-{len(self._uploads)}"
            self._uploads[upload] = {}
            return Answer(
                200,
                f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>".encode(),
            )
        parts = self._uploads.pop(request.query["uploadId"])
        self.put(f"{bucket}/{key}", b"".join(parts[number] for number in sorted(parts)))
        self.etags[f"{bucket}/{key}"] = f'"{"0" * 32}-{len(parts)}"'
        return Answer(
            200,
            b"<CompleteMultipartUploadResult><ETag>&quot;x&quot;</ETag></CompleteMultipartUploadResult>",
        )

    def _delete(self, _request: Request, bucket: str, key: str) -> Answer:
        self.objects.pop(f"{bucket}/{key}", None)
        return Answer(204)

    def _is_signed(self, request: Request) -> bool:
        """AWS Signature Version 4, computed as its documentation says and compared."""
        scheme, _, rest = request.headers.get("authorization", "").partition(" ")
        if scheme != "AWS4-HMAC-SHA256":
            return False
        fields = dict(part.strip().split("=", 1) for part in rest.split(","))
        key_id, date, region, service, _ = fields["Credential"].split("/")
        sent_hash = request.headers.get("x-amz-content-sha256", "")
        if key_id != self._key_id or sent_hash not in ("UNSIGNED-PAYLOAD", hashlib.sha256(request.body).hexdigest()):
            return False
        names = fields["SignedHeaders"].split(";")
        path, _, query = request.path.partition("?")
        canonical = "\n".join(
            [
                request.method,
                path,
                "&".join(sorted(part if "=" in part else f"{part}=" for part in query.split("&") if part)),
                *(f"{name}:{' '.join(request.headers[name].split())}" for name in names),
                "",
                ";".join(names),
                sent_hash,
            ]
        )
        scope = f"{date}/{region}/{service}/aws4_request"
        to_sign = "\n".join(
            [scheme, request.headers["x-amz-date"], scope, hashlib.sha256(canonical.encode()).hexdigest()]
        )
        key = f"AWS4{self._secret}".encode()
        for part in (date, region, service, "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        return hmac.compare_digest(hmac.new(key, to_sign.encode(), "sha256").hexdigest(), fields["Signature"])


def _fault(status: int, code: str) -> Answer:
    return Answer(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode())
