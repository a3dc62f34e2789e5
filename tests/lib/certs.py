# SPDX-License-Identifier: Apache-2.0
"""Certificates for tests: authorities and what they sign, as PEM files in a folder. Needs openssl(1).

    ca = Ca(folder, "ca")
    certificate, key = ca.leaf("server", "DNS:istiod.test,IP:127.0.0.1")
"""
import os
import subprocess


def openssl(*args):
    done = subprocess.run(["openssl", *args], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {args[0]}: {done.stderr.strip()}")


class Ca:
    """An authority; its certificate is the file @file. What is made again under the same name replaces the files in one step."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.file, self.key = self.path(f"{name}.crt"), self.path(f"{name}.key")
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", f"/CN={name}", "-addext",
                "keyUsage=critical,keyCertSign,cRLSign", "-keyout", self.key, "-out", self.file)

    def path(self, name):
        return os.path.join(self.folder, name)

    def leaf(self, name, san=None, days=30):
        """(certificate, key)."""
        crt, key = self.path(f"{name}.crt"), self.path(f"{name}.key")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", key + ".new", "-out", crt + ".csr",
                *(("-addext", f"subjectAltName={san}") if san else ()))
        openssl("x509", "-req", "-in", crt + ".csr", "-CA", self.file, "-CAkey", self.key, "-CAcreateserial", "-days", str(days),
                "-copy_extensions", "copy", "-out", crt + ".new")
        os.rename(key + ".new", key)
        os.rename(crt + ".new", crt)
        return crt, key
