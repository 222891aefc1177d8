# The results of the current batch, in memory that the worker reads: results_file.rs says how.
import mmap

MOST, WORDS, SIZE = 4096, 64, 64 + 16 * 4096 + (192 << 10)
ACCEPTED, PHASE, SURE = 1, 2, 3

memory = bytearray(SIZE)
if "results" in setup:
    with open(setup["results"], "r+b") as file:
        memory = mmap.mmap(file.fileno(), SIZE)
        file.seek(0, 2)  # what is written to the descriptor by mistake does no harm there
    if not setup["results"].startswith("/proc/"):
        os.unlink(setup["results"])


def attach(memory):
    global flags, header, numbers, durations, texts
    whole = memoryview(memory)
    flags, header = whole[:8], whole[:WORDS].cast("Q")
    numbers = whole[WORDS : WORDS + 8 * MOST].cast("d")
    durations = whole[WORDS + 8 * MOST : WORDS + 16 * MOST].cast("d")
    texts = whole[WORDS + 16 * MOST :]


def detach():
    """What a forked process returns from crunch is no result, and it makes no other call."""
    attach(bytearray(SIZE))
    flags[0] = 1


attach(memory)
os.register_at_fork(after_in_child=detach)


class Texts:
    """The results of a batch that are no plain numbers."""

    def __init__(self):
        self.end = 0

    def add(self, task, name, body, took):
        """Keeps the JSON of a value or of a message; returns it, for an answer of its own, if there is no room."""
        if isinstance(body, bytes):
            text = b'{"%s":%s}' % (name, body)
            end = self.end + 4 + len(text)
            if end <= len(texts):
                texts[self.end : end] = struct.pack("=I", len(text)) + text
                numbers[task], durations[task] = self.end, -1.0 - took
                self.end = end
                return None
        return name.decode(), body, took


