/* The NVIDIA driver's library, as far as tgkt_edge/gpu.py asks it: one GPU, an Orin, CUDA 12.6. */
#include <string.h>

int cuInit(unsigned flags) { return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGet(int *device, int number) { *device = number; return 0; }
int cuDeviceGetName(char *name, int length, int device) { strncpy(name, "Orin", length); return 0; }
int cuDeviceGetAttribute(int *value, int which, int device) { *value = which == 75 ? 8 : 7; return 0; }
int cuDriverGetVersion(int *version) { *version = 12060; return 0; }
