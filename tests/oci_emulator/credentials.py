"""Keys, tokens and configuration files as the SDK reads them."""

import functools
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

REGION = "eu-frankfurt-1"
TENANCY = "ocid1.tenancy.oc1..emu"
USER = "ocid1.user.oc1..emu"


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@functools.cache
def some_key() -> rsa.RSAPrivateKey:
    """The same within a process: making one takes a while."""
    return new_key()


def public_pem(key: rsa.RSAPrivateKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def private_pem(key: rsa.RSAPrivateKey) -> str:
    form, plain = serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, plain).decode()


def new_token(key: rsa.RSAPrivateKey, expires_in_s: float) -> str:
    """A security token that the SDK takes for valid until then, by the machine's clock."""
    now = time.time()
    claims = {"sub": USER, "tenant": TENANCY, "iat": int(now), "exp": int(now + expires_in_s), "jti": uuid.uuid4().hex}
    return jwt.encode(claims, key, algorithm="RS256")


def written_config(folder: Path, profile: Mapping[str, str], key: rsa.RSAPrivateKey) -> Path:
    """`folder`/config with the profile DEFAULT, and the private key beside it, readable by nobody else."""
    folder.mkdir(parents=True, exist_ok=True)
    key_file, config = folder / "key.pem", folder / "config"
    key_file.touch(mode=0o600)
    key_file.write_text(private_pem(key))
    lines = [f"{name}={value}" for name, value in {**profile, "region": REGION, "key_file": str(key_file)}.items()]
    config.touch(mode=0o600)
    config.write_text("\n".join(["[DEFAULT]", *lines, ""]))
    return config
