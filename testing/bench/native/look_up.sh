# Says what a service knows of an address: look_up.sh URL TOKEN ADDRESS.
set -euo pipefail
curl --silent --fail --header "Authorization: Bearer $2" "$1/v1/addresses/$3"
