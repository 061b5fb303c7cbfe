// Program that uses a wrong pointer in the way its argument names.
#include <cstdint>
#include <cstdio>
#include <cstring>

namespace {

struct Node {
  long value;
  long more[2];
  Node* next;
};

// A pointer with one bit changed: an upper one, which makes the address not canonical, or another one.
template <typename Pointer>
Pointer flip(Pointer pointer, int bit) {
  return reinterpret_cast<Pointer>(reinterpret_cast<std::uintptr_t>(pointer) ^ 1UL << bit);
}

__attribute__((noinline)) void write_value(Node* node) { node->value = 7; }

__attribute__((noinline)) long sum(const Node* node, long count) {
  long total = 0;
  for (long i = 0; i < count; i++) total += node[i].value;
  return total;
}

__attribute__((noinline)) Node* find_last(Node* node) {
  while (node->next) node = node->next;
  return node;
}

__attribute__((noinline)) long call(long (*function)(const Node*, long), Node* node) {
  return function(node, 1) + 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const char* way = argv[1];
  Node* node = new Node();
  if (!std::strcmp(way, "wild-write")) write_value(flip(node, 62));
  if (!std::strcmp(way, "wild-call")) return static_cast<int>(call(flip(&sum, 61), node));
  if (!std::strcmp(way, "flip-read")) return static_cast<int>(sum(flip(node, 41), 1));
  if (!std::strcmp(way, "null-member")) return find_last(nullptr) != nullptr;
  std::printf("not a way to crash: %s\n", way);
  return 0;
}
