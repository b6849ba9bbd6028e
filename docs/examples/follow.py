"""Prints the outcomes of consultations as they come, each once, and keeps its place in the file `position`.

    URL=http://127.0.0.1:8080 KEY=docket_key_... python3 follow.py
"""

import json, os, pathlib, urllib.parse, urllib.request

url, key, place = os.environ["URL"], os.environ["KEY"], pathlib.Path("position")


def keep(position):
    place.with_suffix(".new").write_text(position)
    place.with_suffix(".new").replace(place)


while True:
    asked = {"wait": 60, "types": "consultation.responded,consultation.timed_out,consultation.withdrawn"}
    asked |= {"since": place.read_text()} if place.exists() else {}
    request = urllib.request.Request(f"{url}/api/v1/events?{urllib.parse.urlencode(asked)}", headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=90) as answer:
        for event in map(json.loads, answer):
            print(event["subject"], event["type"], event["data"].get("decision"), flush=True)  # the work
            keep(event["position"])
        keep(answer.headers["Docket-Position"])
