"""The official schemas beside tests/statements_test.py, run with the Python of their own environment. Each file is judged; exit status 1 with the reasons.
  bom FILE...         CycloneDX 1.6, its JSON schema in the strict form, formats too
  statement FILE...   in-toto Statement v1, and the predicate of SLSA provenance v1 where it is one, by their protocol buffers"""
import json
import pathlib
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement

PROVENANCE = "https://slsa.dev/provenance/v1"
# Its predicate is empty, as cosign 3 writes it; the form allows that (in-toto Statement v1: "predicate", optional), this library does not.
SIGNATURE = "https://sigstore.dev/cosign/sign/v1"


def check_bom(text):
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if fault is not None:
        raise ValueError(str(fault))


def check_statement(text):
    document = json.loads(text)
    statement = Statement.copy_from_pb(json_format.ParseDict(document, statement_pb2.Statement()))
    if document["predicateType"] == SIGNATURE and document["predicate"] == {}:
        statement.pb.predicate.update({"empty": True})
    statement.validate()
    if document["predicateType"] != PROVENANCE:
        return
    predicate = document["predicate"]
    # Members of one's own are named after who adds them (slsa.dev, "Extension fields").
    for part in [predicate, *predicate.values()]:
        for name in [name for name in part if name.startswith("skerry_")]:
            del part[name]
    read = json_format.ParseDict(predicate, provenance_pb2.Provenance())
    if not read.build_definition.build_type or not read.run_details.builder.id or not read.build_definition.HasField("external_parameters"):
        raise ValueError("a member that has to be there is missing")
    for material in read.build_definition.resolved_dependencies:
        ResourceDescriptor.copy_from_pb(material).validate()


if __name__ == "__main__":
    status = 0
    for file in sys.argv[2:]:
        try:
            {"bom": check_bom, "statement": check_statement}[sys.argv[1]](pathlib.Path(file).read_text())
        except (ValueError, json_format.ParseError) as fault:
            print(f"{file}: {fault}", file=sys.stderr)
            status = 1
    sys.exit(status)
