# Which call has printed what: a mark in the output behind what a call has printed, which the worker takes out. The output
# is a pipe, so what compiled code and other processes print is noticed too: its unread bytes are counted, and the worker
# counts its reads in the memory of the results. The worker does that before it reads.
import fcntl
import select
import termios

READS = 4
QUIET, SHORT = 1000, 20e-6  # after so many calls without output, shorter than this on average, only those that fail are looked at


class Output:
    def __init__(self, word, always):
        self.pipe, self.word, self.unread = os.dup(2), word.encode(), bytearray(4)
        self.request = self.first = 0  # the request, and the first call behind the last mark
        self.calls = self.seconds = 0  # without output
        self.watches, self.always = True, always
        os.register_at_fork(after_in_child=self.leave)
        self.look()

    def leave(self):
        """A forked process makes no other call."""
        os.close(self.pipe)
        self.pipe = None

    def look(self):
        if self.pipe is not None:
            try:
                fcntl.ioctl(self.pipe, termios.FIONREAD, self.unread)
            except OSError:  # not everywhere can the writer ask
                self.unread[:] = b"\xff\xff\xff\xff"
        self.seen = bytes(self.unread), header[READS]

    def has_printed(self):
        """Whether something may have been printed since the last mark."""
        before = self.seen
        self.look()
        unread, reads = self.seen
        return self.seen != before or unread == b"\xff\xff\xff\xff"

    def begin(self, request):
        """What no call has printed is no call's."""
        if self.has_printed():
            self.request = 0
            self.mark(0)
        self.request, self.first = request, 0

    def check(self, task):
        """Behind a call, before its result is there."""
        if self.has_printed():
            self.mark(task)
        self.first = task + 1

    def mark(self, task):
        if self.pipe is None:
            return
        mark = self.word + struct.pack("<3Q", self.request, self.first, task)
        try:
            while mark:
                try:
                    mark = mark[os.write(self.pipe, mark) :]
                except BlockingIOError:
                    select.select([], [self.pipe], [])
        except OSError:
            return  # nobody reads it any more
        self.first, self.calls, self.seconds, self.watches = task + 1, 0, 0.0, True
        self.look()

    def ended(self, task, calls, seconds):
        """After some calls, the last of which is this task."""
        if not self.watches and self.has_printed():
            self.mark(task)
            return
        self.first = task + 1
        self.calls += calls
        self.seconds += seconds
        self.watches = self.always or self.calls < QUIET or self.seconds >= SHORT * self.calls


output = Output(setup["mark"], setup["logs_all"]) if "mark" in setup else None
