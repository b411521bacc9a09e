"""`wardtwin serve`: listen to real feeds and show the twin."""

from api.commands import Call, Command


def run(call: Call) -> int:
    """Serve until SIGINT or SIGTERM."""
    # Imported here, because the server takes longer to load than any other command needs.
    from api.serving import serve

    return serve(call)


COMMAND = Command(
    name="serve",
    help="listen to MLLP and HTTP, and show the board",
    description=(
        "Open the store, listen for HL7 v2 over MLLP and for HL7 v2 and FHIR over HTTP, and serve\n"
        "the API and the board, on this machine only. Ends cleanly on Ctrl-C and on SIGTERM."
    ),
    examples=(
        "wardtwin serve --db hospital.duckdb",
        "wardtwin serve --config site.toml --mllp-port 6661",
    ),
    run=run,
)
