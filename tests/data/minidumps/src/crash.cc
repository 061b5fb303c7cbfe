// Program with several threads that crashes in the way its argument names.
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

struct Node {
  int value;
  Node* next;
};

// The handler of the crash runs on this stack, as the stack of a thread may be full.
alignas(16) char handler_stack[64 << 10];
pthread_barrier_t all_wait;
volatile int sink;

inline int step(Node* node) {
  node->value += 1;
  return node->value;
}

inline int walk(Node* node, int count) {
  int sum = 0;
  for (int i = 0; i < count; i++) sum += step(node + i);
  return sum;
}

__attribute__((noinline)) void write_null(Node* node) { sink = walk(node, 3); }

__attribute__((noinline)) void jump_null(void (*function)()) {
  function();
  sink = 1;
}

__attribute__((noinline)) int recurse(int depth) {
  volatile char room[96];
  room[depth % 96] = static_cast<char>(depth);
  return recurse(depth + 1) + room[depth % 96];
}

__attribute__((noinline)) void crash_deep(int depth, Node* node) {
  volatile char room[40];
  room[0] = static_cast<char>(depth);
  if (depth > 0) {
    crash_deep(depth - 1, node);
  } else {
    sink = walk(node, 2);
  }
  sink = room[0];
}

// Overwrites its own frame, and the start of that of its caller, then crashes.
__attribute__((noinline)) void smash(size_t words) {
  volatile unsigned long* volatile top = static_cast<unsigned long*>(__builtin_frame_address(0));
  for (size_t i = 0; i < words; i++) top[i] = 0x4141414141414141UL + i;
  *reinterpret_cast<volatile int*>(16) = 1;
}

__attribute__((noinline)) void smash_deep(int depth) {
  volatile char room[64];
  room[0] = static_cast<char>(depth);
  if (depth > 0) {
    smash_deep(depth - 1);
  } else {
    smash(12);
  }
  sink = room[0];
}

__attribute__((noinline)) void crash(const char* way) {
  if (!std::strcmp(way, "write-null")) write_null(nullptr);
  if (!std::strcmp(way, "jump-null")) jump_null(nullptr);
  if (!std::strcmp(way, "overflow")) sink = recurse(0);
  if (!std::strcmp(way, "deep")) crash_deep(120, nullptr);
  if (!std::strcmp(way, "smash")) smash_deep(3);
  if (!std::strcmp(way, "abort")) std::abort();
  if (!std::strcmp(way, "divide")) sink = 7 / (way[0] == 'd' ? sink : 1);
  if (!std::strcmp(way, "trap")) __builtin_trap();
  std::printf("not a way to crash: %s\n", way);
}

__attribute__((noinline)) void wait_deep(int depth) {
  if (depth == 0) {
    pthread_barrier_wait(&all_wait);
    pause();
    return;
  }
  wait_deep(depth - 1);
  sink = depth;
}

void* wait_in_thread(void* depth) {
  wait_deep(static_cast<int>(reinterpret_cast<long>(depth)));
  return nullptr;
}

void* crash_in_thread(void* way) {
  stack_t stack = {};
  stack.ss_sp = handler_stack;
  stack.ss_size = sizeof(handler_stack);
  sigaltstack(&stack, nullptr);
  pthread_barrier_wait(&all_wait);
  usleep(20000);
  crash(static_cast<const char*>(way));
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  pthread_barrier_init(&all_wait, nullptr, 4);
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 64 << 10);
  pthread_t threads[4];
  for (long i = 0; i < 3; i++) {
    pthread_create(&threads[i], &small, wait_in_thread, reinterpret_cast<void*>(4 * i + 1));
    char name[16];
    std::snprintf(name, sizeof(name), "waiting %ld", i);
    pthread_setname_np(threads[i], name);
  }
  pthread_create(&threads[3], &small, crash_in_thread, argv[1]);
  pthread_join(threads[3], nullptr);
  return 1;
}
