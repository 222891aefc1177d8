/* The least that a farm over MPI can be: rank 0 gives out batches of tasks on request, the others
 * multiply the task's two coordinates and send the products back. No dictionary, no reduction, no
 * store, no way out if a rank dies: the measure of what messages cost.
 *
 * farm TASKS BATCH [COLUMNS [BYTES]]: prints tasks, batch, ranks and seconds from the first request to
 * the last result. With BYTES, a data set of that size goes with each batch, as in a farm that does not
 * remember what a worker has. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REQUEST = 1, RESULT = 2, WORK = 3, STOP = 4, DATA = 5 };

static void dispense(long tasks, int batch, int ranks, char *data, int bytes)
{
    double *results = malloc(sizeof(double) * (size_t)(batch + 1));
    long next = 0, done = 0;
    int left = ranks - 1;
    double sum = 0.0, begin = 0.0, end = 0.0;
    while (left > 0) {
        MPI_Status status;
        int length;
        MPI_Recv(results, batch + 1, MPI_DOUBLE, MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &status);
        MPI_Get_count(&status, MPI_DOUBLE, &length);
        if (begin == 0.0)
            begin = MPI_Wtime();
        if (status.MPI_TAG == RESULT) {
            for (int i = 0; i < length; i++)
                sum += results[i];
            done += length;
            end = MPI_Wtime();
        }
        long range[2] = { next, next + batch < tasks ? batch : tasks - next };
        next += range[1];
        MPI_Send(range, 2, MPI_LONG, status.MPI_SOURCE, range[1] > 0 ? WORK : STOP, MPI_COMM_WORLD);
        if (range[1] == 0)
            left--;
        else if (bytes > 0)
            MPI_Send(data, bytes, MPI_BYTE, status.MPI_SOURCE, DATA, MPI_COMM_WORLD);
    }
    printf("{\"tasks\": %ld, \"batch\": %d, \"ranks\": %d, \"seconds\": %.6f, \"sum\": %.17g}\n", done, batch,
           ranks, end - begin, sum);
    free(results);
}

static void crunch(int batch, long columns, char *data, int bytes)
{
    double *results = malloc(sizeof(double) * (size_t)(batch + 1));
    MPI_Send(results, 0, MPI_DOUBLE, 0, REQUEST, MPI_COMM_WORLD);
    for (;;) {
        long range[2];
        MPI_Status status;
        MPI_Recv(range, 2, MPI_LONG, 0, MPI_ANY_TAG, MPI_COMM_WORLD, &status);
        if (status.MPI_TAG == STOP)
            break;
        if (bytes > 0)
            MPI_Recv(data, bytes, MPI_BYTE, 0, DATA, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        for (long i = 0; i < range[1]; i++) {
            long task = range[0] + i;
            results[i] = (double)(task / columns) * (double)(task % columns);
        }
        MPI_Send(results, (int)range[1], MPI_DOUBLE, 0, RESULT, MPI_COMM_WORLD);
    }
    free(results);
}

int main(int argc, char **argv)
{
    int rank, ranks;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    long tasks = argc > 1 ? atol(argv[1]) : 1000000;
    int batch = argc > 2 ? atoi(argv[2]) : 1;
    long columns = argc > 3 ? atol(argv[3]) : 100;
    int bytes = argc > 4 ? atoi(argv[4]) : 0;
    char *data = malloc((size_t)bytes + 1);
    memset(data, 1, (size_t)bytes + 1);
    if (rank == 0)
        dispense(tasks, batch, ranks, data, bytes);
    else
        crunch(batch, columns, data, bytes);
    free(data);
    MPI_Finalize();
    return 0;
}
