"""After the tour: what a person may paste elsewhere, and a prompt that makes trouble for the simulated numbers."""

import shutil
from pathlib import Path
from typing import TextIO

from demo.console import Shell, StepFailedError
from demo.mixed import Mixed
from demo.tour import EVENTS, GET_WIDE, LOOK_NOW, NEW_KEY
from support import keys
from support.scene import Scene

_COMMAND_SECONDS = 20.0

_ELSEWHERE = f"""\
  kubectl get bek -w                # leave it open, then make trouble below
  kubectl describe bek flows
  kubectl explain bek.spec
  {LOOK_NOW}    # look at every number now
  kubectl patch bek flows --type=merge -p '{{"spec": {{"suspend": true}}}}'
  kubectl delete secret flows-key   # `rotate` below makes another\
"""
_HERE = """\
  down 2, up 2   the API of the second number goes down, comes back
  lose 2         the number is registered anew, and the signature is lost
  overwrite 2    somebody else publishes another key to it
  rotate         a new key goes into the Secret
  numbers        what each number holds
  get, events    what kubectl says; any other kubectl command does as well
  help           this list
  quit           or Ctrl-C: everything is removed\
"""
_BRAKE = """\
Once a key was published to a number three times, the next time is an hour later, so that nobody fights with a
second writer for ever. A new key or the annotation bek.dev/requested-at lifts that brake.\
"""


class Play:
    """What can be done with a scene that the tour has left in good order."""

    def __init__(self, scene: Scene, numbers: Mixed, shell: Shell, kubeconfig: Path) -> None:
        self._scene = scene
        self._numbers = numbers
        self._shell = shell
        self._console = shell.console
        self._kubeconfig = kubeconfig

    def invite(self) -> None:
        """Say what can be done now."""
        self._console.heading("Play on")
        self._console.say("All of it stays up until you press Ctrl-C. In another terminal:")
        self._console.show(f"\n  export KUBECONFIG={self._kubeconfig}")
        kubectl = self._scene.api_server.binaries.kubectl
        if is_missing(kubectl):
            self._console.show(f"  export PATH={kubectl.parent}:$PATH   # you seem to have no kubectl of your own")
        self._console.show(f"\n{_ELSEWHERE}\n  tail -f {self._scene.operator.log}")
        self._help()

    def follow(self, lines: TextIO) -> None:
        """Do what each line says, until they end or one says `quit`."""
        self._console.prompt("\ndemo> ")
        for line in iter(lines.readline, ""):
            try:
                if not self._do(line):
                    return
            except StepFailedError as failed:
                self._console.bad(f"Expected {failed}")
            self._console.prompt("\ndemo> ")

    def _do(self, line: str) -> bool:
        """Do what one line says; tell whether to go on."""
        match line.split():
            case ["quit" | "exit"]:
                return False
            case []:
                pass
            case ["help"]:
                self._help()
            case ["numbers"]:
                self._show_numbers()
            case ["get"]:
                self._shell.run(GET_WIDE)
            case ["events"]:
                self._shell.run(EVENTS)
            case ["rotate"]:
                self._shell.run(NEW_KEY)
            case ["kubectl", *_]:
                self._shell.run(line.strip(), seconds=_COMMAND_SECONDS)
            case ["down" | "up" | "lose" | "overwrite" as action, which] if number := self._find(which):
                self._act(number, action)
                self._show_numbers()
            case _:
                self._console.say("That is none of these:")
                self._help()
        return True

    def _find(self, which: str) -> str | None:
        """Find a number by its place in the list, from 1, or by itself."""
        places = {str(place): number for place, number in enumerate(self._numbers.numbers, 1)}
        return which if which in self._numbers.numbers else places.get(which)

    def _act(self, number: str, action: str) -> None:
        match action:
            case "down":
                self._numbers.stop(number)
            case "up":
                self._numbers.start(number)
            case "lose":
                self._numbers.numbers[number].re_register()
            case "overwrite":
                self._numbers.numbers[number].overwrite(keys.rsa("a second writer's").public)

    def _help(self) -> None:
        self._console.say(f"Here:\n\n{_HERE}\n\n{_BRAKE}")

    def _show_numbers(self) -> None:
        self._console.aside(str(self._numbers))


def is_missing(kubectl: Path) -> bool:
    """Tell whether a user has no kubectl but, by chance of how we were called, this one of ours."""
    found = shutil.which("kubectl")
    return found is None or Path(found).resolve() == kubectl.resolve()
