/* The NVIDIA driver's library, as far as tgkt_edge/gpu.py asks it: one GPU of compute capability 8.MINOR, CUDA 12.6. */
#include <string.h>

int cuInit(unsigned flags) { return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGet(int *device, int number) { *device = number; return 0; }
int cuDeviceGetName(char *name, int length, int device) { strncpy(name, NAME, length); return 0; }
int cuDeviceGetAttribute(int *value, int which, int device) { *value = which == 75 ? 8 : MINOR; return 0; }
int cuDriverGetVersion(int *version) { *version = 12060; return 0; }
