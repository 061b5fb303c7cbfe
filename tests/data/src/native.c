/* A program for every format of native files: no library, a function that is inlined into another one. */
static inline __attribute__((always_inline)) int half(int number)
{
    return number / 2;
}

__attribute__((noinline)) int steps(int number)
{
    int count = 0;
    while (number > 1) {
        number = number % 2 ? 3 * number + 1 : half(number);
        count++;
    }
    return count;
}

int start(int number)
{
    return steps(number + 27);
}
