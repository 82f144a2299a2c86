"""What is known against the dependencies, and whether they may be shipped: python -m release.audit [OPTIONS].

The options are pip-audit's. Runs in the environment of service/locks/audit.txt; ends with 1, and a line for each thing
to see to.
"""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from release import licences, weaknesses
from release.locks import all_locks
from release.sbom import BILL, read


def audit(options: Sequence[str]) -> int:
    """The exit code, after printing what was found."""
    bill = read()
    found = [f"{BILL.name}: {why}" for why in _against_the_schema()] + licences.complaints(bill, licences.rules())
    users = weaknesses.packages(all_locks())
    try:
        today = datetime.now(UTC).date()
        found += weaknesses.complaints(users, weaknesses.ask(users, options), weaknesses.accepted(), today)
    except weaknesses.Unanswered as error:
        found.append(
            f"{error}; nothing is known of weaknesses. Run this where it can be reached, or name another: "
            "make audit-deps ARGS='-s osv --osv-url URL'"
        )
    for line in found:
        print(line)
    print(f"{len(users)} packages in the locks, {len(bill['components'])} shipped: {len(found) or 'nothing'} to see to")
    return 1 if found else 0


def _against_the_schema() -> list[str]:
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(BILL.read_text())
    return [] if error is None else [f"is not CycloneDX 1.6: {str(error)[:300]}"]


if __name__ == "__main__":
    sys.exit(audit(sys.argv[1:]))
