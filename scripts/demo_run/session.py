"""How the demo talks to the local cloud."""

from __future__ import annotations

import os

import boto3
from local_cloud import control


def session_of(cloud: control.Cloud) -> boto3.Session:
    """A boto3 session that knows the local cloud only: nothing of the caller's AWS settings is left in this process."""
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        del os.environ[name]
    clean = control.clean_environment(cloud.endpoint(), cloud.home)
    os.environ.update({name: value for name, value in clean.items() if name.startswith("AWS_") or name == "NO_PROXY"})
    return boto3.Session()
