/* What examples/cpp-onnxruntime uses of ONNX Runtime's C API, for machines where no package brings its headers.
 *
 * The API is a table of functions whose places never change; those that the example does not call are left blank. A
 * program compiled with this file and one compiled with ONNX Runtime's own header call the same library alike, which is
 * what the test of the example is about. Not for other programs: take the headers of an ONNX Runtime release. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define ORT_API_VERSION 1
#define ORT_BLANK(first, last) void *blank_##first[(last) - (first) + 1];

typedef struct OrtStatus OrtStatus;
typedef struct OrtEnv OrtEnv;
typedef struct OrtSession OrtSession;
typedef struct OrtSessionOptions OrtSessionOptions;
typedef struct OrtRunOptions OrtRunOptions;
typedef struct OrtValue OrtValue;
typedef struct OrtAllocator OrtAllocator;
typedef struct OrtMemoryInfo OrtMemoryInfo;
typedef struct OrtTypeInfo OrtTypeInfo;
typedef struct OrtTensorTypeAndShapeInfo OrtTensorTypeAndShapeInfo;

typedef enum { ORT_LOGGING_LEVEL_ERROR = 3 } OrtLoggingLevel;
typedef enum { OrtArenaAllocator = 1 } OrtAllocatorType;
typedef enum { OrtMemTypeDefault = 0 } OrtMemType;
typedef enum {
    ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED = 0,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8 = 2,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16 = 4,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32 = 6
} ONNXTensorElementDataType;

typedef struct OrtApi {
    ORT_BLANK(0, 1)
    const char *(*GetErrorMessage)(const OrtStatus *);                                                    /* 2 */
    OrtStatus *(*CreateEnv)(OrtLoggingLevel, const char *, OrtEnv **);
    ORT_BLANK(4, 6)
    OrtStatus *(*CreateSession)(const OrtEnv *, const char *, const OrtSessionOptions *, OrtSession **);  /* 7 */
    ORT_BLANK(8, 8)
    OrtStatus *(*Run)(OrtSession *, const OrtRunOptions *, const char *const *, const OrtValue *const *, size_t,
                      const char *const *, size_t, OrtValue **);                                          /* 9 */
    OrtStatus *(*CreateSessionOptions)(OrtSessionOptions **);
    ORT_BLANK(11, 30)
    OrtStatus *(*SessionGetOutputCount)(const OrtSession *, size_t *);                                    /* 31 */
    ORT_BLANK(32, 32)
    OrtStatus *(*SessionGetInputTypeInfo)(const OrtSession *, size_t, OrtTypeInfo **);                    /* 33 */
    ORT_BLANK(34, 36)
    OrtStatus *(*SessionGetOutputName)(const OrtSession *, size_t, OrtAllocator *, char **);              /* 37 */
    ORT_BLANK(38, 48)
    OrtStatus *(*CreateTensorWithDataAsOrtValue)(const OrtMemoryInfo *, void *, size_t, const int64_t *, size_t,
                                                 ONNXTensorElementDataType, OrtValue **);                 /* 49 */
    ORT_BLANK(50, 50)
    OrtStatus *(*GetTensorMutableData)(OrtValue *, void **);                                              /* 51 */
    ORT_BLANK(52, 54)
    OrtStatus *(*CastTypeInfoToTensorInfo)(const OrtTypeInfo *, const OrtTensorTypeAndShapeInfo **);      /* 55 */
    ORT_BLANK(56, 59)
    OrtStatus *(*GetTensorElementType)(const OrtTensorTypeAndShapeInfo *, ONNXTensorElementDataType *);   /* 60 */
    ORT_BLANK(61, 63)
    OrtStatus *(*GetTensorShapeElementCount)(const OrtTensorTypeAndShapeInfo *, size_t *);                /* 64 */
    OrtStatus *(*GetTensorTypeAndShape)(const OrtValue *, OrtTensorTypeAndShapeInfo **);
    ORT_BLANK(66, 68)
    OrtStatus *(*CreateCpuMemoryInfo)(OrtAllocatorType, OrtMemType, OrtMemoryInfo **);                    /* 69 */
    ORT_BLANK(70, 75)
    OrtStatus *(*AllocatorFree)(OrtAllocator *, void *);                                                  /* 76 */
    ORT_BLANK(77, 77)
    OrtStatus *(*GetAllocatorWithDefaultOptions)(OrtAllocator **);                                        /* 78 */
    ORT_BLANK(79, 91)
    void (*ReleaseEnv)(OrtEnv *);                                                                         /* 92 */
    void (*ReleaseStatus)(OrtStatus *);
    void (*ReleaseMemoryInfo)(OrtMemoryInfo *);
    void (*ReleaseSession)(OrtSession *);
    void (*ReleaseValue)(OrtValue *);
    ORT_BLANK(97, 97)
    void (*ReleaseTypeInfo)(OrtTypeInfo *);                                                               /* 98 */
    void (*ReleaseTensorTypeAndShapeInfo)(OrtTensorTypeAndShapeInfo *);
    void (*ReleaseSessionOptions)(OrtSessionOptions *);
} OrtApi;

typedef struct {
    const OrtApi *(*GetApi)(uint32_t);
    const char *(*GetVersionString)(void);
} OrtApiBase;

#ifdef __cplusplus
extern "C"
#endif
const OrtApiBase *OrtGetApiBase(void);
