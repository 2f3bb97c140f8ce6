#include "train/xgboost_library.h"

#include "base/shared_library.h"

namespace skerry {
namespace {

Result<XgboostFunctions> FindFunctions() {
  SKERRY_ASSIGN_OR_RETURN(const SharedLibrary library,
                          SharedLibrary::Open("xgboost/lib/libxgboost.so"));
  XgboostFunctions functions;
  SKERRY_RETURN_IF_ERROR(library.Find("XGBoostVersion", functions.version));
  SKERRY_RETURN_IF_ERROR(library.Find("XGBGetLastError", functions.last_error));
  SKERRY_RETURN_IF_ERROR(library.Find("XGBSetGlobalConfig", functions.set_global_config));
  SKERRY_RETURN_IF_ERROR(library.Find("XGDMatrixCreateFromDense", functions.matrix_create));
  SKERRY_RETURN_IF_ERROR(library.Find("XGProxyDMatrixCreate", functions.proxy_create));
  SKERRY_RETURN_IF_ERROR(library.Find("XGProxyDMatrixSetDataDense", functions.proxy_set_dense));
  SKERRY_RETURN_IF_ERROR(
      library.Find("XGQuantileDMatrixCreateFromCallback", functions.quantile_matrix_create));
  SKERRY_RETURN_IF_ERROR(library.Find("XGDMatrixSetInfoFromInterface", functions.matrix_set_info));
  SKERRY_RETURN_IF_ERROR(library.Find("XGDMatrixSetStrFeatureInfo", functions.matrix_set_texts));
  SKERRY_RETURN_IF_ERROR(library.Find("XGDMatrixFree", functions.matrix_free));
  SKERRY_RETURN_IF_ERROR(library.Find("XGBoosterCreate", functions.booster_create));
  SKERRY_RETURN_IF_ERROR(library.Find("XGBoosterFree", functions.booster_free));
  SKERRY_RETURN_IF_ERROR(library.Find("XGBoosterSetParam", functions.booster_set_param));
  SKERRY_RETURN_IF_ERROR(library.Find("XGBoosterUpdateOneIter", functions.booster_update));
  SKERRY_RETURN_IF_ERROR(library.Find("XGBoosterPredictFromDMatrix", functions.booster_predict));
  SKERRY_RETURN_IF_ERROR(
      library.Find("XGBoosterPredictFromDense", functions.booster_predict_dense));
  SKERRY_RETURN_IF_ERROR(library.Find("XGBoosterSaveModelToBuffer", functions.booster_save));
  return functions;
}

}  // namespace

Result<const XgboostFunctions*> LoadXgboost() {
  static const Result<XgboostFunctions> functions = FindFunctions();
  if (!functions) return tl::make_unexpected(functions.error());
  return &*functions;
}

}  // namespace skerry
