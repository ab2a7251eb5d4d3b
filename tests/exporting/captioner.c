/* captioner MODEL PICTURE INPUT OUTPUT LIBRARY...

   Prints the caption of a picture by TensorFlow's C API. INPUT and OUTPUT are the names of the
   operations of serving_default's picture and caption; LIBRARY holds further ops. */
#include <stdio.h>
#include <stdlib.h>
#include <tensorflow/c/c_api.h>
#include <tensorflow/c/tf_tstring.h>

static void check(TF_Status *status) {
  if (TF_GetCode(status) == TF_OK) return;
  fprintf(stderr, "%s\n", TF_Message(status));
  exit(1);
}

static void keep(void *data, size_t length, void *argument) {}

int main(int count, char **arguments) {
  TF_Status *status = TF_NewStatus();
  for (int i = 5; i < count; i++) {
    TF_LoadLibrary(arguments[i], status);
    check(status);
  }
  TF_Graph *graph = TF_NewGraph();
  const char *tags[] = {"serve"};
  TF_Session *session = TF_LoadSessionFromSavedModel(TF_NewSessionOptions(), NULL, arguments[1],
                                                     tags, 1, graph, NULL, status);
  check(status);

  static char bytes[1 << 20];
  FILE *file = fopen(arguments[2], "rb");
  if (!file) return 1;
  size_t size = fread(bytes, 1, sizeof bytes, file);
  TF_TString picture;
  TF_TString_Init(&picture);
  TF_TString_Copy(&picture, bytes, size);
  int64_t rows = 1;
  TF_Tensor *input = TF_NewTensor(TF_STRING, &rows, 1, &picture, sizeof picture, keep, NULL);

  TF_Output from = {TF_GraphOperationByName(graph, arguments[3]), 0};
  TF_Output to = {TF_GraphOperationByName(graph, arguments[4]), 0};
  TF_Tensor *output = NULL;
  TF_SessionRun(session, NULL, &from, &input, 1, &to, &output, 1, NULL, 0, NULL, status);
  check(status);
  TF_TString *caption = TF_TensorData(output);
  printf("%.*s\n", (int)TF_TString_GetSize(caption), TF_TString_GetDataPointer(caption));
  return 0;
}
