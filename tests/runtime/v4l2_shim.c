/* LD_PRELOAD shim: a camera at /dev/video42 that exists only inside one process.
 *
 * open() of that path yields a memfd. Buffers are mapped from it by the kernel itself and select() finds it readable,
 * so only open, openat, close and the 'V' ioctls are answered here. Pixel (y, x) of frame n holds
 * (SHIM_BASE + 257 * n + 3 * (y * width + x)) mod 2^16, little-endian; in GREY and YUYV its low byte.
 *
 * Environment: SHIM_FORMATS "Y16 ,YUYV" (offered, the first is the driver's own choice), SHIM_WIDTH, SHIM_HEIGHT,
 * SHIM_FPS, SHIM_FRAMES (unplugged after so many), SHIM_BASE.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define DEVICE "/dev/video42"
#define MAX_FD 1024
#define MAX_BUFFERS 16

static char ours[MAX_FD];
static uint32_t format, width, height, buffers, frame_number;
static uint32_t queue[MAX_BUFFERS], queued, streaming;
static uint8_t *memory;

static long number(const char *name, long otherwise) {
  const char *text = getenv(name);
  return text ? atol(text) : otherwise;
}

static uint32_t offered(uint32_t index) {
  const char *list = getenv("SHIM_FORMATS");
  if (!list) list = "Y16 ";
  if (strlen(list) < 5 * index + 4) return 0;
  const char *f = list + 5 * index;
  return v4l2_fourcc(f[0], f[1], f[2], f[3]);
}

static uint32_t pixel_bytes(void) { return format == V4L2_PIX_FMT_GREY ? 1 : 2; }

static uint32_t image_bytes(void) { return width * height * pixel_bytes(); }

static uint32_t slot_bytes(void) { return (image_bytes() + 4095u) & ~4095u; }

static int refuse(int code) {
  errno = code;
  return -1;
}

static int open_device(void) {
  int fd = memfd_create("v4l2_shim", 0);
  if (fd < 0 || fd >= MAX_FD) return refuse(EMFILE);
  ours[fd] = 1;
  format = offered(0);
  width = (uint32_t)number("SHIM_WIDTH", 64);
  height = (uint32_t)number("SHIM_HEIGHT", 48);
  queued = streaming = buffers = 0;
  return fd;
}

static void describe(struct v4l2_pix_format *pix) {
  pix->width = width;
  pix->height = height;
  pix->pixelformat = format;
  pix->field = V4L2_FIELD_NONE;
  pix->bytesperline = width * pixel_bytes();
  pix->sizeimage = image_bytes();
  pix->colorspace = V4L2_COLORSPACE_RAW;
}

static int set_format(struct v4l2_format *asked, int keep) {
  uint32_t before = format, chosen = offered(0), one;
  for (uint32_t i = 0; (one = offered(i)); i++)
    if (one == asked->fmt.pix.pixelformat) chosen = one;
  format = chosen;
  describe(&asked->fmt.pix);
  if (!keep) format = before;
  return 0;
}

static void paint(uint8_t *to) {
  uint32_t base = (uint32_t)number("SHIM_BASE", 4096) + 257 * frame_number;
  for (uint32_t i = 0; i < width * height; i++) {
    uint32_t value = base + 3 * i;
    if (pixel_bytes() == 1) {
      to[i] = (uint8_t)value;
    } else {
      to[2 * i] = (uint8_t)value;
      to[2 * i + 1] = (uint8_t)(value >> 8);
    }
  }
}

static int give_buffers(int fd, struct v4l2_requestbuffers *request) {
  if (memory) munmap(memory, (size_t)slot_bytes() * buffers);
  memory = NULL;
  queued = 0;
  buffers = request->count > MAX_BUFFERS ? MAX_BUFFERS : request->count;
  request->count = buffers;
  if (!buffers) return 0;
  if (ftruncate(fd, (off_t)slot_bytes() * buffers)) return -1;
  memory = mmap(NULL, (size_t)slot_bytes() * buffers, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) {
    memory = NULL;
    return -1;
  }
  return 0;
}

static void fill(struct v4l2_buffer *buffer, uint32_t index) {
  buffer->index = index;
  buffer->length = image_bytes();
  buffer->bytesused = image_bytes();
  buffer->m.offset = index * slot_bytes();
  buffer->memory = V4L2_MEMORY_MMAP;
  buffer->field = V4L2_FIELD_NONE;
}

static int next_frame(struct v4l2_buffer *buffer) {
  if (!streaming || !queued) return refuse(EINVAL);
  if ((long)frame_number >= number("SHIM_FRAMES", 1L << 30)) return refuse(ENODEV);
  long fps = number("SHIM_FPS", 200);
  struct timespec wait = {0, 1000000000L / fps}, now;
  nanosleep(&wait, NULL);
  uint32_t index = queue[0];
  memmove(queue, queue + 1, sizeof(queue[0]) * --queued);
  paint(memory + (size_t)index * slot_bytes());
  fill(buffer, index);
  buffer->flags = V4L2_BUF_FLAG_MAPPED | V4L2_BUF_FLAG_DONE | V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
  buffer->sequence = frame_number++;
  clock_gettime(CLOCK_MONOTONIC, &now);
  buffer->timestamp.tv_sec = now.tv_sec;
  buffer->timestamp.tv_usec = now.tv_nsec / 1000;
  return 0;
}

static int answer(int fd, unsigned long request, void *argument) {
  switch (request) {
    case VIDIOC_QUERYCAP: {
      struct v4l2_capability *cap = argument;
      memset(cap, 0, sizeof *cap);
      strcpy((char *)cap->driver, "shim");
      strcpy((char *)cap->card, "test camera");
      cap->capabilities = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING | V4L2_CAP_DEVICE_CAPS;
      cap->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
      return 0;
    }
    case VIDIOC_ENUM_FMT: {
      struct v4l2_fmtdesc *description = argument;
      if (!offered(description->index)) return refuse(EINVAL);
      description->pixelformat = offered(description->index);
      strcpy((char *)description->description, "shim format");
      return 0;
    }
    case VIDIOC_G_FMT:
      describe(&((struct v4l2_format *)argument)->fmt.pix);
      return 0;
    case VIDIOC_S_FMT:
      return set_format(argument, 1);
    case VIDIOC_TRY_FMT:
      return set_format(argument, 0);
    case VIDIOC_REQBUFS:
      return give_buffers(fd, argument);
    case VIDIOC_QUERYBUF: {
      struct v4l2_buffer *buffer = argument;
      if (buffer->index >= buffers) return refuse(EINVAL);
      fill(buffer, buffer->index);
      return 0;
    }
    case VIDIOC_QBUF: {
      struct v4l2_buffer *buffer = argument;
      if (buffer->index >= buffers || queued >= MAX_BUFFERS) return refuse(EINVAL);
      queue[queued++] = buffer->index;
      return 0;
    }
    case VIDIOC_DQBUF:
      return next_frame(argument);
    case VIDIOC_STREAMON:
      streaming = 1;
      return 0;
    case VIDIOC_STREAMOFF:
      streaming = queued = 0;
      return 0;
    case VIDIOC_QUERYCTRL:
    case VIDIOC_G_CTRL:
    case VIDIOC_S_CTRL:
    case VIDIOC_G_PARM:
    case VIDIOC_S_PARM:
      return refuse(EINVAL);
    default:
      return refuse(ENOTTY);
  }
}

int ioctl(int fd, unsigned long request, ...) {
  static int (*real)(int, unsigned long, ...);
  va_list list;
  va_start(list, request);
  void *argument = va_arg(list, void *);
  va_end(list);
  if (fd >= 0 && fd < MAX_FD && ours[fd]) return answer(fd, request & 0xffffffffUL, argument);
  if (!real) real = dlsym(RTLD_NEXT, "ioctl");
  return real(fd, request, argument);
}

int close(int fd) {
  static int (*real)(int);
  if (!real) real = dlsym(RTLD_NEXT, "close");
  if (fd >= 0 && fd < MAX_FD) ours[fd] = 0;
  return real(fd);
}

#define OPEN(NAME)                                                     \
  int NAME(const char *path, int flags, ...) {                         \
    static int (*real)(const char *, int, ...);                        \
    va_list list;                                                      \
    va_start(list, flags);                                             \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0; \
    va_end(list);                                                      \
    if (!strcmp(path, DEVICE)) return open_device();                   \
    if (!real) real = dlsym(RTLD_NEXT, #NAME);                         \
    return real(path, flags, mode);                                    \
  }

OPEN(open)
OPEN(open64)
