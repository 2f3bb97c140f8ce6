"""A certificate authority with a server's and a client's certificate, by the openssl command."""
import subprocess


def openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)


def make_certificates(directory, names="IP:127.0.0.1,DNS:localhost"):
    """ca.pem, server.pem and .key (of those names), client.pem and .key, in the directory."""
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *new_key, "-keyout", directory / "ca.key", "-out", directory / "ca.pem", "-subj", "/CN=test CA", "-days", 2)
    for name, usage, more in (("server", "serverAuth", f"subjectAltName={names}\n"), ("client", "clientAuth", "")):
        openssl("req", *new_key, "-keyout", directory / f"{name}.key", "-out", directory / f"{name}.csr", "-subj", f"/CN={name}")
        (directory / f"{name}.ext").write_text(f"{more}extendedKeyUsage={usage}\n")
        openssl("x509", "-req", "-in", directory / f"{name}.csr", "-CA", directory / "ca.pem", "-CAkey", directory / "ca.key",
                "-CAcreateserial", "-days", 2, "-extfile", directory / f"{name}.ext", "-out", directory / f"{name}.pem")
        (directory / f"{name}.key").chmod(0o600)
