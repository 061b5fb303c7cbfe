/* A program whose functions have a frame on the stack, so that its executable has unwind information. */
__attribute__((noinline)) int read(volatile int *numbers)
{
    return numbers[0] + numbers[7];
}

__attribute__((noinline)) int sum(int number)
{
    volatile int numbers[8] = {number};
    return read(numbers) + number;
}

int start(int number)
{
    return sum(number) + sum(number + 1);
}
