"""`penstock schema`: the configuration's JSON Schema."""

from penstock.cli.options import command
from penstock.cli.output import write_json
from penstock.configuration import schema as configuration_schema
from penstock.plugins import load_plugins


@command("schema", example="penstock schema > penstock.schema.json")
def schema(*, as_json: bool) -> None:  # noqa: ARG001 - it is JSON in any case
    """Print the JSON Schema of the configuration, with what the installed plugins add.

    An editor with a YAML language server uses it by a first line such as
    `# yaml-language-server: $schema=penstock.schema.json`.
    """
    write_json(configuration_schema(load_plugins()))
