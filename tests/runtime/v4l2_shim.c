/* LD_PRELOAD shim: a camera at /dev/video42 that exists only inside one process.
 *
 * open() of that path yields a memfd. Buffers are mapped from it by the kernel itself and select() finds it readable,
 * so only open, close, poll and the 'V' ioctls are answered here. Pixel (y, x) of frame n holds
 * (SHIM_BASE + 257 * n + 3 * (y * width + x)) mod 2^16, little-endian; in GREY its low byte. Rows are padded with 0xEE.
 *
 * Environment: SHIM_FORMATS "Y16 ,YUYV" (offered, the first is the driver's own choice), SHIM_WIDTH, SHIM_HEIGHT,
 * SHIM_FPS, SHIM_BASE; SHIM_FRAMES (unplugged after so many), SHIM_GONE (a path: unplugged while that file exists),
 * SHIM_OPEN_ERRNO and SHIM_SET_ERRNO (what open() and VIDIOC_S_FMT answer), SHIM_MPLANE 1 (a multi-planar driver),
 * SHIM_METADATA 1 (a node that captures no video), SHIM_PADDING (bytes after each row), SHIM_AGE_MS (how old a frame is
 * when it arrives), SHIM_CLOCK 1 (timestamps of no named clock), SHIM_DAMAGED and SHIM_SHORT (the frame that is so),
 * SHIM_CHANGE (the frame from which the height is halved) with SHIM_EVENT 1 (and the driver tells), SHIM_SILENT (the
 * frame that never comes), SHIM_IGNORES 1 (VIDIOC_S_FMT keeps the driver's own choice), SHIM_MJPG (a file: each image),
 * SHIM_CORRUPTED n (frames 1, n + 1... are damaged, 2, n + 2... incomplete). Paths, in force while their file exists, as
 * SHIM_GONE: SHIM_QUIET (no frame comes), SHIM_HANG (VIDIOC_DQBUF does not come back, and then finds the camera gone),
 * SHIM_SMALL (it opens with half the height), SHIM_NOSIGNAL (its input has no signal, and frames are noise). Opened
 * again, it answers older descriptors as if it were gone.
 *
 * Passing faults: SHIM_FAIL_SET, SHIM_FAIL_ON and SHIM_FAIL_DQ "errno:count" (the first so many VIDIOC_S_FMT,
 * VIDIOC_STREAMON, VIDIOC_DQBUF answer that errno), SHIM_BROKEN n (frames before frame n are damaged).
 * SHIM_SIZES 1 (VIDIOC_S_FMT takes any size; else it keeps the driver's own), SHIM_GAP n (from frame n on two numbers
 * are missing), SHIM_UNCOUNTED 1 (every sequence number is 0), SHIM_STAMPED 1 (the first eight bytes of a frame are its
 * timestamp in Unix microseconds), SHIM_BACKWARDS n (frame n is stamped 50 ms before the one before it).
 * SHIM_INPUT 1 (an input with states), SHIM_HDMI 1 (one with a signal of the stream's size; after SHIM_CHANGE its
 * height is halved and VIDIOC_G_FMT stays), SHIM_SIGNAL_WIDTH (of that signal), SHIM_MODE and SHIM_GID (what stat()
 * says of the node), SHIM_LOG (a file: one line each for VIDIOC_S_FMT and VIDIOC_STREAMON).
 */
#include "v4l2_shim_camera.h"

static int give_buffers(int fd, struct v4l2_requestbuffers *request) {
  if (memory) munmap(memory, (size_t)slot_bytes() * buffers);
  memory = NULL;
  queued = 0;
  buffers = request->count > MAX_BUFFERS ? MAX_BUFFERS : request->count;
  request->count = buffers;
  if (!buffers) return 0;
  if (ftruncate(fd, (off_t)slot_bytes() * buffers)) return -1;
  memory = mmap(NULL, (size_t)slot_bytes() * buffers, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) memory = NULL;
  return memory ? 0 : -1;
}

static void fill(struct v4l2_buffer *buffer, uint32_t index, uint32_t used) {
  buffer->index = index;
  buffer->memory = V4L2_MEMORY_MMAP;
  buffer->field = V4L2_FIELD_NONE;
  if (multi()) {
    buffer->length = 1;
    buffer->m.planes[0].length = image_bytes();
    buffer->m.planes[0].bytesused = used;
    buffer->m.planes[0].data_offset = 0;
    buffer->m.planes[0].m.mem_offset = index * slot_bytes();
  } else {
    buffer->length = image_bytes();
    buffer->bytesused = used;
    buffer->m.offset = index * slot_bytes();
  }
}

static int next_frame(struct v4l2_buffer *buffer) {
  if (!streaming || !queued) return refuse(EINVAL);
  if (unplugged()) return refuse(ENODEV);
  struct timespec wait = {0, 1000000000L / number("SHIM_FPS", 200)}, moment = {0, 10000000L}, now;
  if (there("SHIM_HANG")) {
    while (there("SHIM_HANG")) nanosleep(&moment, NULL);
    return refuse(ENODEV);
  }
  static long failed;
  int code = passing("SHIM_FAIL_DQ", &failed);
  if (code) return refuse(code);
  nanosleep(&wait, NULL);
  uint32_t index = queue[0];
  memmove(queue, queue + 1, sizeof(queue[0]) * --queued);
  uint32_t used = paint(memory + (size_t)index * slot_bytes());
  int smaller = changed() && !number("SHIM_HDMI", 0);
  if (smaller || corrupted(2) || (long)frame_number == number("SHIM_SHORT", -1)) used /= 2;
  fill(buffer, index, used);
  buffer->flags = V4L2_BUF_FLAG_MAPPED | V4L2_BUF_FLAG_DONE;
  if (!number("SHIM_CLOCK", 0)) buffer->flags |= V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
  int damaged = (long)frame_number < number("SHIM_BROKEN", 0) || (long)frame_number == number("SHIM_DAMAGED", -1);
  if (damaged || corrupted(1)) buffer->flags |= V4L2_BUF_FLAG_ERROR;
  buffer->sequence = frame_number + ((long)frame_number >= number("SHIM_GAP", 1L << 30) ? 2 : 0);
  if (number("SHIM_UNCOUNTED", 0)) buffer->sequence = 0;
  clock_gettime(CLOCK_MONOTONIC, &now);
  int64_t us = now.tv_sec * 1000000LL + now.tv_nsec / 1000 - 1000LL * number("SHIM_AGE_MS", 0);
  if ((long)frame_number == number("SHIM_BACKWARDS", -1)) us = last_stamp - 50000;
  last_stamp = us;
  if (number("SHIM_STAMPED", 0)) {
    struct timespec unix_now;
    clock_gettime(CLOCK_REALTIME, &unix_now);
    int64_t apart = (unix_now.tv_sec - now.tv_sec) * 1000000LL + (unix_now.tv_nsec - now.tv_nsec) / 1000;
    int64_t stamp = us + apart;
    memcpy(memory + (size_t)index * slot_bytes(), &stamp, sizeof stamp);
  }
  frame_number++;
  buffer->timestamp.tv_sec = us / 1000000;
  buffer->timestamp.tv_usec = us % 1000000;
  return 0;
}

static int timings(struct v4l2_dv_timings *found) {
  memset(found, 0, sizeof *found);
  if (!number("SHIM_HDMI", 0)) return refuse(ENOTTY);
  if (there("SHIM_NOSIGNAL")) return refuse(ENOLINK);
  found->type = V4L2_DV_BT_656_1120;
  found->bt.width = (uint32_t)number("SHIM_SIGNAL_WIDTH", number("SHIM_WIDTH", 64));
  found->bt.height = (uint32_t)number("SHIM_HEIGHT", 48) / (changed() ? 2 : 1);
  found->bt.pixelclock = 74250000;
  return 0;
}

static int describe_input(struct v4l2_input *input) {
  if (input->index || !(number("SHIM_INPUT", 0) || number("SHIM_HDMI", 0))) return refuse(EINVAL);
  memset(input, 0, sizeof *input);
  strcpy((char *)input->name, "HDMI 0");
  input->type = V4L2_INPUT_TYPE_CAMERA;
  input->status = there("SHIM_NOSIGNAL") ? V4L2_IN_ST_NO_SIGNAL : 0;
  return 0;
}

static int start_stream(void) {
  static long failed;
  int code = passing("SHIM_FAIL_ON", &failed);
  note("STREAMON", format, width, height);
  if (code) return refuse(code);
  streaming = 1;
  return 0;
}

static int answer(int fd, unsigned long request, void *argument) {
  if (fd != latest) return refuse(ENODEV);
  switch (request) {
    case VIDIOC_QUERYCAP: {
      struct v4l2_capability *cap = argument;
      memset(cap, 0, sizeof *cap);
      strcpy((char *)cap->driver, "shim");
      strcpy((char *)cap->card, "test camera");
      cap->capabilities = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING | V4L2_CAP_DEVICE_CAPS;
      cap->device_caps = multi() ? V4L2_CAP_VIDEO_CAPTURE_MPLANE : V4L2_CAP_VIDEO_CAPTURE;
      if (number("SHIM_METADATA", 0)) cap->device_caps = V4L2_CAP_META_CAPTURE;
      cap->device_caps |= V4L2_CAP_STREAMING;
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
      describe(argument);
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
      fill(buffer, buffer->index, 0);
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
    case VIDIOC_SUBSCRIBE_EVENT:
      return number("SHIM_EVENT", 0) ? 0 : refuse(ENOTTY);
    case VIDIOC_DQEVENT: {
      struct v4l2_event *event = argument;
      if (told || !changed()) return refuse(ENOENT);
      memset(event, 0, sizeof *event);
      event->type = V4L2_EVENT_SOURCE_CHANGE;
      told = 1;
      return 0;
    }
    case VIDIOC_G_INPUT:
      *(int *)argument = 0;
      return number("SHIM_INPUT", 0) || number("SHIM_HDMI", 0) ? 0 : refuse(ENOTTY);
    case VIDIOC_ENUMINPUT:
      return describe_input(argument);
    case VIDIOC_G_DV_TIMINGS:
    case VIDIOC_QUERY_DV_TIMINGS:
      return timings(argument);
    case VIDIOC_STREAMON:
      return start_stream();
    case VIDIOC_STREAMOFF:
      streaming = queued = 0;
      return 0;
    case VIDIOC_QUERYCTRL: case VIDIOC_G_CTRL: case VIDIOC_S_CTRL: case VIDIOC_G_PARM: case VIDIOC_S_PARM:
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

/* As the kernel's v4l2_poll: every bit for a device that is gone, POLLPRI for an event. */
int poll(struct pollfd *polled, nfds_t count, int timeout) {
  static int (*real)(struct pollfd *, nfds_t, int);
  if (!real) real = dlsym(RTLD_NEXT, "poll");
  if (count != 1 || polled->fd < 0 || polled->fd >= MAX_FD || !ours[polled->fd]) return real(polled, count, timeout);
  for (; timeout > 0 && there("SHIM_QUIET") && !unplugged(); timeout -= 10) real(NULL, 0, 10);
  if (unplugged() || polled->fd != latest) {
    polled->revents = POLLERR | POLLHUP | POLLPRI;
  } else if ((long)frame_number == number("SHIM_SILENT", -1) || there("SHIM_QUIET")) {
    polled->revents = 0;
    return real(NULL, 0, timeout);
  } else {
    polled->revents = POLLIN;
    if (changed() && number("SHIM_EVENT", 0) && !told) polled->revents |= POLLPRI;
  }
  return 1;
}

/* The node itself, for programs that look who may open it. */
#define STAT(NAME, AT)                                                             \
  int NAME(const char *path, struct NAME *found) {                                 \
    if (strcmp(path, DEVICE) || !getenv("SHIM_MODE")) return AT(AT_FDCWD, path, found, 0); \
    memset(found, 0, sizeof *found);                                               \
    found->st_mode = S_IFCHR | (mode_t)strtol(getenv("SHIM_MODE"), NULL, 8);       \
    found->st_gid = (gid_t)number("SHIM_GID", 0);                                  \
    return 0;                                                                      \
  }

STAT(stat, fstatat)
STAT(stat64, fstatat64)

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
