# Which call has printed what: a mark in the output behind what a call has printed, which the worker takes out. The output
# is a pipe, so what compiled code and other processes print is noticed too: by how many bytes are in it, and how many the
# worker has read, which it notes in the memory of the results.
import fcntl
import select
import termios

BEGUN, ENDED, TAKEN = 4, 5, 6  # reads of the output that the worker has begun and ended, and the bytes that it has read
TRIES = 50
QUIET, SHORT = 1000, 100e-6  # after so many calls without output, shorter than this on average, only those that fail are looked at


class Output:
    def __init__(self, word, always):
        try:
            self.pipe = fcntl.fcntl(2, fcntl.F_DUPFD_CLOEXEC, 100)  # out of the way of who writes to a descriptor by mistake
        except OSError:
            self.pipe = os.dup(2)
        self.word, self.unread = word.encode(), bytearray(4)
        self.request = self.first = 0  # the request, and the first call behind the last mark
        self.calls = self.seconds = 0  # without output
        self.watches, self.always = True, always
        os.register_at_fork(after_in_child=self.leave)
        self.known = self.printed()  # so many bytes are in front of a mark, or are marks

    def leave(self):
        """A forked process makes no other call."""
        os.close(self.pipe)
        self.pipe = None

    def printed(self):
        """How many bytes were written to the output; None if that cannot be told."""
        for _ in range(TRIES if self.pipe is not None else 0):
            begun = header[BEGUN]
            if header[ENDED] == begun:
                try:
                    fcntl.ioctl(self.pipe, termios.FIONREAD, self.unread)
                except OSError:
                    return None
                taken = header[TAKEN]
                if header[BEGUN] == begun:
                    return taken + int.from_bytes(self.unread, sys.byteorder)
        return None

    def begin(self, request):
        """What no call has printed is no call's."""
        printed = self.printed()
        if printed is None or printed != self.known:
            self.request = 0
            self.mark(0, printed)
        self.request, self.first = request, 0

    def check(self, task):
        """Behind a call, before its result is there."""
        printed = self.printed()
        if printed is None or printed != self.known:
            self.mark(task, printed)
        self.first = task + 1

    def mark(self, task, printed):
        if self.pipe is None:
            return
        mark = self.word + struct.pack("<3Q", self.request, self.first, task)
        # What is printed by others just now is marked once more.
        self.known = self.printed() if printed is None else printed + len(mark)
        try:
            while mark:
                try:
                    mark = mark[os.write(self.pipe, mark) :]
                except BlockingIOError:
                    select.select([], [self.pipe], [])
        except OSError:
            return  # nobody reads it any more
        self.first, self.calls, self.seconds, self.watches = task + 1, 0, 0.0, True

    def ended(self, task, calls, seconds):
        """After some calls, the last of which is this task."""
        if not self.watches:
            self.check(task)
            return
        self.first = task + 1
        self.calls += calls
        self.seconds += seconds
        self.watches = self.always or self.calls < QUIET or self.seconds >= SHORT * self.calls


output = Output(setup["mark"], setup["logs_all"]) if "mark" in setup else None
