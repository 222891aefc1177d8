"""In real kernels of Jupyter."""

import queue
import time

import nbclient
import nbformat
import pytest
from jupyter_client.manager import start_new_kernel


class Kernel:
    """A kernel that runs cells."""

    def __init__(self, desk, **environment):
        environment = {**desk.environment(), **environment}
        self.manager, self.client = start_new_kernel(kernel_name="python3", cwd=str(desk.folder), env=environment)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def begin(self, cell):
        self.at = self.client.execute(cell)

    def outputs(self):
        """The messages of the cell that is under way, until it ends."""
        found = []
        while True:
            message = self.client.get_iopub_msg(timeout=120)
            if message["parent_header"].get("msg_id") != self.at:
                continue
            found.append((message["msg_type"], message["content"]))
            if found[-1] == ("status", {"execution_state": "idle"}):
                return found

    def run(self, cell):
        """What a cell prints; an error is a text, too."""
        self.begin(cell)
        found = ""
        for kind, content in self.outputs():
            found += content["text"] if kind == "stream" and content["name"] == "stdout" else ""
            found += f"{content['ename']}: {content['evalue']}" if kind == "error" else ""
        return found


FIRST = """
import gridmpi
SCALE = 3
class Model:
    def __init__(self, factor): self.factor = factor
    def times(self, x): return x * self.factor
"""
SECOND = """
def helper(x): return x * SCALE

def fit(model, x):
    open("calls", "a").write("x\\n")
    return model.times(helper(x))
"""
RUN = """
nest = gridmpi.Nest("n").loop("model", {"a": Model(1), "b": Model(2)}).loop("x", [1, 2], reduce="sum")
print(nest.run(fit, workers=1).summary["score"])
"""


def test_a_restart_a_moved_cell_and_a_comment_compute_nothing_anew(desk):
    with Kernel(desk, PYTHONHASHSEED="1") as kernel:
        assert kernel.run(FIRST) == "" and kernel.run(SECOND) == ""
        assert kernel.run(RUN) == "[9.0, 18.0]\n"
        assert desk.calls() == 4
        assert kernel.run("# the same again\n" + SECOND) == ""
        assert kernel.run(RUN) == "[9.0, 18.0]\n" and desk.calls() == 0
    with Kernel(desk, PYTHONHASHSEED="2") as kernel:
        kernel.run("1 + 1")
        kernel.run(FIRST)
        kernel.run("def other(): pass\n" + SECOND.replace("return x * SCALE", "return x * SCALE  # scaled"))
        assert kernel.run(RUN) == "[9.0, 18.0]\n" and desk.calls() == 0
        kernel.run("SCALE = 4")
        said = kernel.run(RUN)
        assert said.startswith("Error: ") and "SCALE has changed from `3` to `4`" in said, said
        kernel.run("SCALE = 3\ndef helper(x): return SCALE * x")
        said = kernel.run(RUN)
        assert "helper has changed" in said and "-    return x * SCALE" in said and "+    return SCALE * x" in said, said
        assert desk.calls() == 0


def test_an_error_shows_the_cell_that_raised_it(desk):
    with Kernel(desk) as kernel:
        kernel.run("import gridmpi\ndef fit(x):\n    return 1 / (x - 2)")
        said = kernel.run('gridmpi.Nest("n").loop("x", [1, 2]).run(fit)')
        assert "RunsFailed" in said and "return 1 / (x - 2)" in said and "task 1 (x=2)" in said, said


SLOW = """
import gridmpi, time
def slow(x):
    open("calls", "a").write("x\\n")
    time.sleep(0.1)
    return x
def run(count): return len(gridmpi.Nest("slow").loop("x", range(count)).run(slow, workers=1).runs)
"""


def test_an_interrupt_ends_in_order_and_the_next_call_goes_on(desk):
    with Kernel(desk) as kernel:
        kernel.run(SLOW)
        kernel.begin("run(1000)")
        begin = time.monotonic()
        while not (desk.folder / "calls").exists():
            assert time.monotonic() - begin < 100
            time.sleep(0.05)
        kernel.manager.interrupt_kernel()
        outputs = kernel.outputs()
        assert [content["ename"] for kind, content in outputs if kind == "error"] == ["KeyboardInterrupt"]
        kept = int(kernel.run('print(len(gridmpi.open("results/slow").runs))'))
        assert kept == desk.calls()
        assert kernel.run(f"print(run({kept + 2}))") == f"{kept + 2}\n" and desk.calls() == 2


def test_there_is_a_bar_that_goes_on(desk):
    with Kernel(desk) as kernel:
        kernel.run(SLOW)
        kernel.begin("run(30)")
        outputs = kernel.outputs()
        bars = [content["data"]["text/html"] for kind, content in outputs if kind in ("display_data", "update_display_data")]
        assert len(bars) > 2 and "<progress" in bars[0] and "30/30" in bars[-1], bars


def test_a_kernel_that_is_killed_leaves_nothing_that_goes_on(desk):
    with Kernel(desk) as kernel:
        kernel.run(SLOW)
        kernel.begin("run(1000)")
        while not (desk.folder / "calls").exists():
            with pytest.raises(queue.Empty):
                while True:
                    kernel.client.get_iopub_msg(timeout=0.1)
        kernel.manager.shutdown_kernel(now=True)
    begin = time.monotonic()
    with Kernel(desk) as kernel:
        kernel.run(SLOW)
        said = ""
        while not said.endswith("3\n"):
            assert time.monotonic() - begin < 60, said
            time.sleep(0.5)
            said = kernel.run("print(run(3))")


def test_a_notebook_shows_tables(desk, monkeypatch):
    notebook = nbformat.v4.new_notebook(cells=[
        nbformat.v4.new_code_cell("import gridmpi\nresults = gridmpi.Nest('n').loop('x', [1, 2]).run(lambda x: {'score': x, 'name': '<b>'})"),
        nbformat.v4.new_code_cell("results.runs"),
        nbformat.v4.new_code_cell("gridmpi.map(lambda x: x + 1, [1, 2])"),
    ])
    client = nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(desk.folder)}})
    for name, value in desk.environment().items():
        monkeypatch.setenv(name, value)
    client.execute()
    page = notebook.cells[1].outputs[0]["data"]["text/html"]
    assert page.startswith("<table>") and "&lt;b&gt;" in page
    assert notebook.cells[2].outputs[-1]["data"]["text/plain"] == "[2, 3]"
