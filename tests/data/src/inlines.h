/* Called from another file than the one that it is in. */
static inline __attribute__((always_inline)) int add_tax(int cents)
{
    return cents + cents / 5;
}
