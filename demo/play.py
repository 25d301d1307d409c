"""After the tour: commands for another terminal, and a prompt that makes the simulated numbers fail."""

import shutil
from pathlib import Path
from typing import TextIO

from demo.console import Shell, StepFailedError
from demo.mixed import Mixed
from demo.tour import CHECK_NOW, EVENTS, GET_WIDE, NEW_KEY
from support import keys
from support.cluster.scene import Scene

_COMMAND_SECONDS = 20.0

_ELSEWHERE = f"""\
  kubectl bek status --watch        # leave it open, then use the commands below
  kubectl describe bek flows
  kubectl explain bek.spec
  {CHECK_NOW}    # check every number now
  kubectl patch bek flows --type=merge -p '{{"spec": {{"suspend": true}}}}'
  kubectl delete secret flows-key   # `rotate` below makes another\
"""
_HERE = """\
  down 2, up 2   the API of the second number goes down, comes back
  lose 2         the number is registered again, and its signature is lost
  overwrite 2    another client publishes its own key to it
  rotate         a new key goes into the Secret
  numbers        what each number holds
  get, events    what kubectl says; any other kubectl command does as well
  help           this list
  quit           or Ctrl-C: everything is removed\
"""
_BACKOFF = """\
Publish back-off: after the third publish of a key to a number the next one waits an hour, so that two writers do
not overwrite each other without end. A new key or the annotation bek.dev/requested-at resets it.\
"""


class Play:
    """Commands for the scene after the tour."""

    def __init__(self, scene: Scene, numbers: Mixed, shell: Shell, kubeconfig: Path) -> None:
        self._scene = scene
        self._numbers = numbers
        self._shell = shell
        self._console = shell.console
        self._kubeconfig = kubeconfig

    def invite(self) -> None:
        """Print the commands."""
        self._console.heading("Try it yourself")
        self._console.say("All of it stays up until you press Ctrl-C. In another terminal:")
        self._console.show(f"\n  export KUBECONFIG={self._kubeconfig}")
        kubectl = self._scene.api_server.binaries.kubectl
        self._console.show(f"  export PATH={plugin_folder(self._scene)}:$PATH   # kubectl bek")
        if is_missing(kubectl):
            self._console.show(f"  export PATH={kubectl.parent}:$PATH   # no other kubectl was found on your PATH")
        self._console.show(f"\n{_ELSEWHERE}\n  tail -f {self._scene.operator.log}")
        self._help()

    def follow(self, lines: TextIO) -> None:
        """Run the command in each line, until they end or one is `quit`."""
        self._console.prompt("\ndemo> ")
        for line in iter(lines.readline, ""):
            try:
                if not self._do(line):
                    return
            except StepFailedError as failed:
                self._console.bad(f"Expected {failed}")
            self._console.prompt("\ndemo> ")

    def _do(self, line: str) -> bool:
        """Run one line; return whether to go on."""
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
                self._console.say("Unknown command. The commands are:")
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
        self._console.say(f"Commands here:\n\n{_HERE}\n\n{_BACKOFF}")

    def _show_numbers(self) -> None:
        self._console.aside(str(self._numbers))


def plugin_folder(scene: Scene) -> Path:
    """Return the folder with the programs of `kubectl bek`."""
    return scene.api_server.folder / "plugin"


def is_missing(kubectl: Path) -> bool:
    """Return whether the user has no kubectl, or only finds this one of ours on PATH."""
    found = shutil.which("kubectl")
    return found is None or Path(found).resolve() == kubectl.resolve()
