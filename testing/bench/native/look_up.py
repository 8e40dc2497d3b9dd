"""Says whether an address is on the list of a service: look_up.py URL TOKEN ADDRESS."""

import json
import sys
from urllib.request import Request, urlopen

url, token, ip = sys.argv[1:]
with urlopen(Request(f"{url}/v1/addresses/{ip}", headers={"Authorization": f"Bearer {token}"})) as answer:
    found = json.load(answer)
print(json.dumps({"ip": ip, "listed": found["listed"], "reason": found["reason"]}))
