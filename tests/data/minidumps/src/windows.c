// Program for Windows whose threads wait, and that writes a minidump of itself when it crashes.
// It declares the few functions that it needs, so that no SDK is needed.
typedef void *HANDLE;
typedef unsigned long DWORD;
typedef int BOOL;

struct exception_pointers {
  void *record, *context;
};
struct exception_information {
  DWORD thread;
  struct exception_pointers *pointers;
  BOOL client;
} __attribute__((packed, aligned(4)));

#define IMPORT __declspec(dllimport)
IMPORT HANDLE __stdcall CreateThread(void *, unsigned long long, DWORD(__stdcall *)(void *), void *, DWORD, DWORD *);
IMPORT HANDLE __stdcall CreateFileA(const char *, DWORD, DWORD, void *, DWORD, DWORD, HANDLE);
IMPORT HANDLE __stdcall GetCurrentProcess(void);
IMPORT DWORD __stdcall GetCurrentProcessId(void);
IMPORT DWORD __stdcall GetCurrentThreadId(void);
IMPORT char *__stdcall GetCommandLineA(void);
IMPORT void __stdcall ExitProcess(DWORD);
IMPORT void __stdcall Sleep(DWORD);
IMPORT void __stdcall SetLastError(DWORD);
IMPORT void __stdcall RaiseException(DWORD, DWORD, DWORD, const void *);
IMPORT void *__stdcall SetUnhandledExceptionFilter(long(__stdcall *)(struct exception_pointers *));
IMPORT BOOL __stdcall MiniDumpWriteDump(HANDLE, DWORD, HANDLE, DWORD, struct exception_information *, void *, void *);

struct node;
static volatile int sink;
static void (*volatile nowhere)(void);
static struct node *volatile no_node;
int _fltused;

struct node {
  int value;
  struct node *next;
};

static inline int step(struct node *node) {
  node->value += 1;
  return node->value;
}

static inline int walk(struct node *node, int count) {
  int sum = 0;
  for (int i = 0; i < count; i++) sum += step(node + i);
  return sum;
}

__attribute__((noinline)) static void crash_deep(int depth, struct node *node) {
  volatile char room[40];
  room[0] = (char)depth;
  if (depth > 0) {
    crash_deep(depth - 1, node);
  } else {
    sink = walk(node, 2);
  }
  sink = room[0];
}

__attribute__((noinline)) static void jump_null(void (*function)(void)) {
  function();
  sink = 1;
}

__attribute__((noinline)) static void wait_deep(int depth) {
  if (depth == 0) {
    SetLastError(2);
    Sleep(60000);
    return;
  }
  wait_deep(depth - 1);
  sink = depth;
}

static DWORD __stdcall wait_in_thread(void *depth) {
  wait_deep((int)(long long)depth);
  return 0;
}

static long __stdcall write_dump(struct exception_pointers *pointers) {
  struct exception_information information = {GetCurrentThreadId(), pointers, 0};
  HANDLE file = CreateFileA("windows.dmp", 0x40000000, 0, 0, 2, 0x80, 0);
  MiniDumpWriteDump(GetCurrentProcess(), GetCurrentProcessId(), file, 0, &information, 0, 0);
  ExitProcess(3);
  return 1;
}

void start(void) {
  char way = 0;
  for (char *text = GetCommandLineA(); *text; text++) way = *text;
  SetUnhandledExceptionFilter(write_dump);
  for (long long i = 0; i < 2; i++) CreateThread(0, 0, wait_in_thread, (void *)(3 * i + 1), 0, 0);
  Sleep(300);
  if (way == 'd') crash_deep(30, no_node);
  if (way == 'j') jump_null(nowhere);
  if (way == 'r') RaiseException(0xE06D7363, 1, 0, 0);
  ExitProcess(1);
}
