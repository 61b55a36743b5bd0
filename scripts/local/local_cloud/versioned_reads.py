"""GetObject of a version with Range answers that range; ministack looks at Range only where no version is named."""

from __future__ import annotations

from ministack.services import s3


def apply() -> None:
    """Cuts the range out of the whole version."""
    original = s3._get_object

    def get_object(bucket_name: str, key: str, headers: dict, query_params: dict | None = None) -> tuple[int, dict, bytes]:
        status, answered, body = original(bucket_name, key, headers, query_params)
        wanted = headers.get("range", "")
        if status != 200 or not wanted or not s3._qp(query_params or {}, "versionId"):
            return status, answered, body
        bounds = s3._parse_range(wanted, len(body))
        if bounds is None:
            refusal = {"Content-Type": "application/xml", "Content-Range": f"bytes */{len(body)}"}
            return 416, refusal, s3._xml_body(s3._range_error_xml(bucket_name, key))
        start, end = bounds
        part = body[start : end + 1]
        return 206, answered | {"Content-Length": str(len(part)), "Content-Range": f"bytes {start}-{end}/{len(body)}"}, part

    s3._get_object = get_object
