"""Nothing of the caller gets in, and nothing gets out."""

from __future__ import annotations

import subprocess
import sys
import unittest
from pathlib import Path

import boto3
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from support import LEAKS, LOCAL, client, cloud, eventually, invocations


def listening(pid: int) -> list[str]:
    """The local addresses, in the kernel's hexadecimal, on which a process listens."""
    sockets = {link.readlink().name for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink() and "socket:" in str(link.readlink())}
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                found.append(fields[1])
    return found


def any_environment() -> dict[str, str]:
    """The environment of a function that was invoked."""
    return eventually(invocations)[0]["environment"]


def function_client(service: str) -> BaseClient:
    """A client with the credentials that the function was given."""
    environment = any_environment()
    return boto3.client(
        service, endpoint_url=cloud()["endpoint"], region_name="us-east-1", aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"], aws_session_token=environment["AWS_SESSION_TOKEN"],
    )  # fmt: skip


class Inwards(unittest.TestCase):
    @unittest.skipUnless(Path("/proc/net/tcp").exists(), "reads /proc")
    def test_listens_on_loopback_only(self) -> None:
        addresses = listening(cloud()["pid"])
        self.assertIn(f"0100007F:{cloud()['port']:04X}", addresses)
        self.assertEqual([], [address for address in addresses if not address.startswith("0100007F:")])

    @unittest.skipUnless(Path("/proc/self/environ").exists(), "reads /proc")
    def test_server_knows_nothing_of_the_callers_environment(self) -> None:
        environment = Path(f"/proc/{cloud()['pid']}/environ").read_text()
        self.assertEqual([], [value for value in LEAKS.values() if value in environment])
        self.assertIn(f"AWS_ENDPOINT_URL={cloud()['endpoint']}\0", environment)


class Functions(unittest.TestCase):
    def test_function_is_sent_to_the_local_cloud_though_its_template_names_no_endpoint(self) -> None:
        environment = any_environment()
        self.assertEqual(f"http://127.0.0.1:{cloud()['port']}", environment["AWS_ENDPOINT_URL"])
        configured = client("lambda").get_function_configuration(FunctionName=cloud()["outputs"]["Probe"])["Environment"]["Variables"]
        self.assertNotIn("AWS_ENDPOINT_URL", configured)
        self.assertIn("AWS_ENDPOINT_URL_S3", configured, "the template tries to send S3 to AWS")
        self.assertNotIn("AWS_ENDPOINT_URL_S3", environment)

    def test_function_gets_nothing_of_the_callers_environment(self) -> None:
        values = set(any_environment().values())
        self.assertEqual(set(), values & set(LEAKS.values()))
        self.assertTrue(any_environment()["AWS_ACCESS_KEY_ID"].startswith("ASIA"))

    def test_function_has_its_role_and_no_more(self) -> None:
        as_function = function_client("dynamodb")
        key = {"job": {"S": "none"}, "part": {"S": "none"}}
        as_function.get_item(TableName=cloud()["outputs"]["Table"], Key=key)
        with self.assertRaises(ClientError) as refused:
            as_function.put_item(TableName=cloud()["outputs"]["Table"], Item=key)
        self.assertEqual("AccessDeniedException", refused.exception.response["Error"]["Code"])

    def test_policy_that_demands_tls_lets_functions_in(self) -> None:
        as_function = function_client("s3")
        client("s3").put_object(Bucket=cloud()["outputs"]["Inbox"], Key="readable", Body=b"yes")
        body = as_function.get_object(Bucket=cloud()["outputs"]["Inbox"], Key="readable")["Body"].read()
        self.assertEqual(b"yes", body)


class Outwards(unittest.TestCase):
    def test_server_connects_to_loopback_only(self) -> None:
        """A topic with a subscriber elsewhere makes the server call it; 192.0.2.1 is nobody's address."""
        topic = client("sns").create_topic(Name="outwards")["TopicArn"]
        client("sns").subscribe(TopicArn=topic, Protocol="http", Endpoint="http://192.0.2.1/hook")
        client("sns").publish(TopicArn=topic, Message="hello")
        eventually(lambda: "connects to 127.0.0.1 only" in Path(cloud()["log"]).read_text())

    def test_hook_refuses_addresses_and_names(self) -> None:
        program = (
            "import socket, sys; from local_cloud.isolation import refuse_other_machines; sys.addaudithook(refuse_other_machines)\n"
            "for attempt in (lambda: socket.create_connection(('192.0.2.1', 443), 1), lambda: socket.getaddrinfo('s3.amazonaws.com', 443)):\n"
            "    try: attempt(); print('sent')\n"
            "    except PermissionError: print('refused')\n"
            f"socket.create_connection(('127.0.0.1', {cloud()['port']}), 5); print('connected')\n"
        )
        done = subprocess.run([sys.executable, "-c", program], cwd=LOCAL, capture_output=True, text=True, env={"AWS_ENDPOINT_URL": "unused"})
        self.assertEqual("refused\nrefused\nconnected\n", done.stdout, done.stderr)

    def test_loopback_addresses(self) -> None:
        from local_cloud.isolation import is_loopback

        for address in (("127.0.0.1", 1), ("::1", 1, 0, 0), ("localhost", 1), "/var/run/socket"):
            self.assertTrue(is_loopback(address), address)
        for address in (("0.0.0.0", 1), ("169.254.169.254", 80), ("10.0.0.1", 1), ("dynamodb.us-east-1.amazonaws.com", 443)):
            self.assertFalse(is_loopback(address), address)


if __name__ == "__main__":
    unittest.main()
